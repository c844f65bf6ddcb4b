"""What has to happen on a stream in one go, as Lua that Redis runs without an interruption.

Beside each stream `events:<topic>` stands `stream-floor:<topic>`: the first id that retention has
left. Ids are dense, so the floor, the last id and the length tell whether an entry was taken away.
"""

_FIELDS_OF_INFO = """
local function info_of(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'stream' then return kind, nil end
  local flat, info = redis.call('XINFO', 'STREAM', key), {}
  for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  return kind, info
end
local function last_id(key)
  local kind, info = info_of(key)
  if kind == 'none' then return '' end
  return info and info['last-generated-id'] or kind
end
"""

# KEYS: stream, floor. Answers {last id or name of another type, newest, length, floor}.
TIP = (
    _FIELDS_OF_INFO
    + """
local kind, info = info_of(KEYS[1])
if kind == 'none' then return {''} end
if not info then return {kind} end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local floor = redis.call('GET', KEYS[2])
return {info['last-generated-id'], newest[1] or false, info['length'], floor or ''}
"""
)

# KEYS: stream. ARGV: the last id it must have, the source, six texts for each entry; what is the
# same in all of them does not travel. MULTI would not do: a failed XADD does not stop the next
# one, and the hole stays for ever.
APPEND = (
    _FIELDS_OF_INFO
    + """
if last_id(KEYS[1]) ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 6 do
  local id, kind, subject, version, time, data = unpack(ARGV, i, i + 5)
  redis.call('XADD', KEYS[1], id, 'specversion', '1.0', 'id', id, 'source', ARGV[2], 'type', kind,
    'subject', subject, 'version', version, 'time', time,
    'datacontenttype', 'application/json', 'data', data)
end
return 1
"""
)

# KEYS: stream, floor. ARGV: the last id it must have, the id just below the first one to come, the
# first one, and the last id of ours that groups may have had. Groups stand again where they stood;
# what was pending is delivered again, because a list of pending entries dies with its key.
START = (
    _FIELDS_OF_INFO
    + """
if last_id(KEYS[1]) ~= ARGV[1] then return false end
local function parts(id)
  local epoch, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(seq)
end
local function is_below(one, other)
  local epoch, seq = parts(one)
  local other_epoch, other_seq = parts(other)
  return epoch < other_epoch or (epoch == other_epoch and seq < other_seq)
end
local function just_below(id)
  local epoch, seq = parts(id)
  if seq > 0 then return string.format('%.0f-%.0f', epoch, seq - 1) end
  return '0-0'
end
local saved = {}
if info_of(KEYS[1]) == 'stream' then
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    local at = group['last-delivered-id']
    if group['pending'] > 0 then
      local lowest = just_below(redis.call('XPENDING', KEYS[1], group['name'])[2])
      if is_below(lowest, at) then at = lowest end
    end
    if is_below(ARGV[4], at) then at = ARGV[4] end
    saved[#saved + 1] = {group['name'], at, group['pending']}
  end
end
-- A server without memory refuses SET, and with it the whole script, before anything is deleted.
redis.call('SET', KEYS[2], ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('XGROUP', 'CREATE', KEYS[1], 'starting', '0', 'MKSTREAM')
redis.call('XGROUP', 'DESTROY', KEYS[1], 'starting')
redis.call('XSETID', KEYS[1], ARGV[2])
for _, group in ipairs(saved) do redis.call('XGROUP', 'CREATE', KEYS[1], group[1], group[2]) end
return saved
"""
)

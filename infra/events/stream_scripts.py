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

_IDS = """
local function parts(id)
  local epoch, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(seq)
end
local function is_below(one, other)
  local epoch, seq = parts(one)
  local other_epoch, other_seq = parts(other)
  return epoch < other_epoch or (epoch == other_epoch and seq < other_seq)
end
local function beside(id, step)
  local epoch, seq = parts(id)
  return string.format('%.0f-%.0f', epoch, math.max(0, seq + step))
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
local floor = ''
if redis.call('TYPE', KEYS[2]).ok == 'string' then floor = redis.call('GET', KEYS[2]) end
return {info['last-generated-id'], newest[1] or false, info['length'], floor}
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
    + _IDS
    + """
if last_id(KEYS[1]) ~= ARGV[1] then return false end
local saved = {}
if info_of(KEYS[1]) == 'stream' then
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    local at = group['last-delivered-id']
    if group['pending'] > 0 then
      local lowest = beside(redis.call('XPENDING', KEYS[1], group['name'])[2], -1)
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

_LIVES = """
local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function silence_of(key, seen, group)
  local shortest
  if redis.call('TYPE', seen).ok ~= 'hash' then redis.call('DEL', seen) end
  for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', key, group)) do
    for i = 1, #flat, 2 do
      if flat[i] == 'idle' and (not shortest or flat[i + 1] < shortest) then
        shortest = flat[i + 1]
      end
    end
  end
  if shortest then
    redis.call('HSET', seen, group, string.format('%.0f', now_ms - shortest))
    return shortest
  end
  redis.call('HSETNX', seen, group, string.format('%.0f', now_ms))
  return now_ms - redis.call('HGET', seen, group)
end
local function groups_of(key)
  local groups = {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    groups[#groups + 1] = group
  end
  return groups
end
local function lowest_pending(key, group)
  if group['pending'] == 0 then return nil end
  return redis.call('XPENDING', key, group['name'])[2]
end
"""

# KEYS: stream, floor, signs of life of its groups. ARGV: the first id that is young enough, how
# many entries at most, for how long a silent group counts as alive, how many to take at most.
# Answers {taken by age, taken by length, groups that lost what they had not handled ...}.
# In one go, because a group may read between a look at it and the cut.
TRIM = (
    _FIELDS_OF_INFO
    + _IDS
    + _LIVES
    + """
local kind, info = info_of(KEYS[1])
if not info or not info['first-entry'] then return {0, 0} end
local first, keep_from, needs = info['first-entry'][1], ARGV[1], {}
for _, group in ipairs(groups_of(KEYS[1])) do
  if silence_of(KEYS[1], KEYS[3], group['name']) < tonumber(ARGV[3]) then
    local at = lowest_pending(KEYS[1], group) or beside(group['last-delivered-id'], 1)
    needs[group['name']] = at
    if is_below(at, keep_from) then keep_from = at end
  end
end
local reach = beside(first, tonumber(ARGV[4]))
if is_below(reach, keep_from) then keep_from = reach end
local by_age = redis.call('XTRIM', KEYS[1], 'MINID', '=', keep_from)
local length, by_length = redis.call('XLEN', KEYS[1]), 0
local surplus = math.min(length - tonumber(ARGV[2]), tonumber(ARGV[4]))
if surplus > 0 then
  by_length = redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', length - surplus)
end
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local floor = oldest and oldest[1] or beside(info['last-generated-id'], 1)
redis.call('SET', KEYS[2], floor)
local answer = {by_age, by_length}
for name, at in pairs(needs) do
  if by_length > 0 and is_below(at, floor) then answer[#answer + 1] = name end
end
return answer
"""
)

# KEYS: stream, signs of life. Answers for each group {name, consumers, pending, last delivered id,
# lowest pending id, milliseconds of silence}, and in the end the stream's last id.
GROUPS = (
    _FIELDS_OF_INFO
    + _LIVES
    + """
local kind, info = info_of(KEYS[1])
if not info then return {''} end
local answer = {}
for _, group in ipairs(groups_of(KEYS[1])) do
  answer[#answer + 1] = {
    group['name'], group['consumers'], group['pending'], group['last-delivered-id'],
    lowest_pending(KEYS[1], group) or '', silence_of(KEYS[1], KEYS[2], group['name'])}
end
answer[#answer + 1] = info['last-generated-id']
return answer
"""
)

# KEYS: stream, signs of life. ARGV: group, consumer or '', for how long silence counts as life,
# 1 to remove it whatever it has. Answers {what was done or why not, number pending}.
REMOVE = (
    _FIELDS_OF_INFO
    + _LIVES
    + """
local kind, info = info_of(KEYS[1])
local name, consumer, force = ARGV[1], ARGV[2], ARGV[4] == '1'
local group, pending, silence
for _, found in ipairs(info and groups_of(KEYS[1]) or {}) do
  if found['name'] == name then group, pending = found, found['pending'] end
end
if not group then return {'unknown', 0} end
if consumer == '' then
  silence = silence_of(KEYS[1], KEYS[2], name)
else
  local known
  for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], name)) do
    local found = {}
    for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
    if found['name'] == consumer then known = found end
  end
  if not known then return {'unknown', 0} end
  pending, silence = known['pending'], known['idle']
end
if not force and pending > 0 then return {'pending', pending} end
if not force and silence < tonumber(ARGV[3]) then return {'alive', pending} end
if consumer == '' then
  redis.call('XGROUP', 'DESTROY', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
else
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], name, consumer)
end
return {'removed', pending}
"""
)

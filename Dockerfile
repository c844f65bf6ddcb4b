FROM python:3.11-slim AS requirements
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.txt

FROM node:20-slim AS dashboard
WORKDIR /web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

FROM python:3.11-slim
# One user for every process, without a home or a shell; named volumes on /data become its own.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tradepost \
    && install --directory --owner=tradepost --group=tradepost /data
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    ENV_FILE=
WORKDIR /app
COPY --from=requirements /venv /venv
COPY alembic.ini beat_schedule.py celeryconfig.py ./
COPY accounts accounts/
COPY api api/
COPY cli cli/
COPY infra infra/
COPY market market/
COPY migrations migrations/
COPY sandbox sandbox/
COPY shop shop/
COPY workers workers/
COPY --from=dashboard /web/dist web/dist/
RUN python -m compileall -q .
USER tradepost
EXPOSE 8012
CMD ["python", "-m", "uvicorn", "api.main:app", "--host=0.0.0.0", "--port=8012", "--timeout-graceful-shutdown=3", "--no-access-log"]

# lrsearch with PostgreSQL's driver. CPU by default; for GPUs: docker build --build-arg EXTRA=gpu .
FROM python:3.12-slim
ARG EXTRA=examples
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY lrsearch ./lrsearch
RUN pip install --no-cache-dir ".[postgresql,plot,${EXTRA}]" \
    && useradd --create-home --uid 1000 lrsearch \
    && mkdir -p /work /checkpoints && chown lrsearch /work /checkpoints
USER lrsearch
WORKDIR /work
ENTRYPOINT ["lrsearch"]

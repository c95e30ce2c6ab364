# lrsearch with PostgreSQL's driver and what studies/ needs. CPU by default; for GPUs: docker build --build-arg EXTRA=gpu .
FROM python:3.12.8-slim-bookworm
ARG EXTRA=
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY lrsearch ./lrsearch
COPY docker/service.sh /usr/local/bin/lrsearch-service
RUN pip install --no-cache-dir ".[postgresql,plot,examples${EXTRA:+,$EXTRA}]" \
    && useradd --create-home --uid 1000 lrsearch \
    && mkdir -p /work /checkpoints && chown lrsearch /work /checkpoints
USER lrsearch
WORKDIR /work
ENTRYPOINT ["lrsearch"]

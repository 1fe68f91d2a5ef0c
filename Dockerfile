# One image for every stage and for the command line: `docker run tailrace runs`.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY consumers consumers
RUN python -m venv /opt/tailrace && /opt/tailrace/bin/pip install --no-cache-dir '.[cli,opensearch,metrics,fast]'

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/tailrace tailrace
COPY --from=build /opt/tailrace /opt/tailrace
ENV PATH=/opt/tailrace/bin:$PATH PYTHONUNBUFFERED=1 TAILRACE_HOME=/var/lib/tailrace
USER tailrace
WORKDIR /var/lib/tailrace
ENTRYPOINT ["tailrace"]
CMD ["--help"]

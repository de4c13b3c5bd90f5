# Stage one builds the wheel and an environment with it; nothing of the build comes along but that environment.
FROM python:3.11.14-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY personalization ./personalization
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/personalization \
    && /opt/personalization/bin/python -m pip install --no-cache-dir /wheels/*.whl \
    && /opt/personalization/bin/python -m pip uninstall --yes pip setuptools


FROM python:3.11.14-slim-bookworm

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Deep Personalization" \
      org.opencontainers.image.description="A self-hosted decision engine for notifications" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.14-slim-bookworm"

ENV PATH="/opt/personalization/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    STATE_DIR=/var/lib/personalization \
    PORT=8000

# A user without a name, so that "runAsNonRoot" can be checked. Only /tmp and STATE_DIR are written to.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/personalization
COPY --from=build /opt/personalization /opt/personalization
WORKDIR /app
COPY app.py gunicorn.conf.py ./
USER 10001:10001

EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/api/v1/management/ready', timeout=4)"]
CMD ["gunicorn", "app:create_app()"]

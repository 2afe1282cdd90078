# The ad server with the local scorer; Triton runs beside it (deploy/compose.yaml).
#
#   docker build -t adserver .
#   docker run -p 8080:8080 -v adserver-data:/data adserver adserver demo    # sample catalogue
#   docker run -p 8080:8080 -v adserver-data:/data -e ADSERVER_TOKEN_KEY=… adserver
#
# Runs as uid 10001 on a read-only root; it writes to /data (keep it) and /tmp (forget it).

FROM python:3.11-slim-bookworm AS build
# Debian keeps only the newest version of a package, so a pinned one would stop building.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# pip stays outside of the environment, so that it is not in the final image.
RUN python -m venv --without-pip /opt/adserver
COPY pyproject.toml constraints.txt ./
# hnswlib is compiled here and would otherwise take every instruction of this machine's processor,
# and then die on an older one. CPU_FLAGS="-march=x86-64-v3" makes its search faster where it fits.
ARG CPU_FLAGS=""
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && HNSWLIB_NO_NATIVE=1 CFLAGS="$CPU_FLAGS" python -m pip --python /opt/adserver/bin/python install \
        --no-cache-dir --disable-pip-version-check -r requirements.txt -c constraints.txt
# What a server never runs, 130 MB of it: tests, debug symbols, Arrow's network service.
RUN find /opt/adserver -depth -type d -name tests -path '*/site-packages/*' -exec rm -rf {} + \
    && find /opt/adserver -name '*.so' -type f -not -path '*.libs/*' -exec strip --strip-debug {} + \
    && find /opt/adserver -path '*/pyarrow/*' -name '*flight*' -type f -delete
# .dockerignore lets only the sources through.
COPY . .
RUN python -m pip --python /opt/adserver/bin/python install \
        --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.11-slim-bookworm
# hnswlib is linked to the OpenMP runtime.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 adserver \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin adserver \
    && install -d -o adserver -g adserver /data
COPY --from=build /opt/adserver /opt/adserver
COPY model_repository /app/model_repository
WORKDIR /app
# Kernels are compiled for the processor they run on, which need not be the one of the build: so at
# the first start, into /data, where the next start finds them.
ENV PATH=/opt/adserver/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/data/kernels \
    MPLCONFIGDIR=/tmp/matplotlib \
    ADSERVER_DATA=/data \
    HOST=0.0.0.0 \
    PORT=8080 \
    SCORER=local
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=240s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=2)"]
CMD ["adserver", "serve"]

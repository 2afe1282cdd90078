# NVIDIA's Triton with what the click model's Python backend imports.
#
# Not built here: the base image (some 15 GB) comes from NVIDIA's registry only. The same model.py
# runs in the tests on Triton 2.51 from a Python wheel; this image carries 2.53 and Python 3.12.

FROM nvcr.io/nvidia/tritonserver:24.12-py3
WORKDIR /src
COPY constraints.txt ./
# The Triton language, by which the click model uses a GPU, builds what starts its kernels with a C
# compiler, at the first start.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*
# The backend's worker takes its packages from the environment that the first python3 on the path
# belongs to. The image's own packages stay as NVIDIA tested them.
RUN python3 -m venv --without-pip /opt/ranker \
    && python3 -m pip --python /opt/ranker/bin/python3 install --no-cache-dir -c constraints.txt \
        numpy numba onnxruntime torch triton
COPY ranking /opt/ranker/lib/python3.12/site-packages/ranking
ENV PATH=/opt/ranker/bin:$PATH \
    NUMBA_CACHE_DIR=/tmp/kernels \
    TRITON_CACHE_DIR=/tmp/triton \
    OPENBLAS_NUM_THREADS=1 \
    OMP_NUM_THREADS=1
# The image's own unprivileged user.
USER 1000:1000
WORKDIR /
HEALTHCHECK --interval=5s --timeout=3s --start-period=90s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/models/ctr_ranker/ready', timeout=2)"]

# The library and its command line on the processor alone:
#     docker build -t movierec_bench .
#     docker run --rm -v "$PWD:/data" movierec_bench convert
#     docker run --rm -v "$PWD:/data" movierec_bench run --models fast
FROM python:3.13-slim

# LightGBM's wheel asks for OpenMP's library, which the slim image lacks.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/movierec_bench
COPY setup.py setup.cfg pyproject.toml constraints.txt requirements-dev.txt README.md LICENSE ./
COPY movierec_bench movierec_bench
COPY recbole_configs recbole_configs
# PyTorch's index for the processor saves the gigabytes of CUDA that PyPI's build brings.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt . \
    && pip install --no-cache-dir --no-deps recbole==1.2.1

# Files are written as this user; `docker run --user "$(id -u)"` writes them as you.
RUN useradd --create-home --uid 1000 bench
USER 1000
# What is written goes to the folder that is mounted here.
WORKDIR /data
ENTRYPOINT ["python", "-m", "movierec_bench"]
CMD ["--help"]

# Invertigo on a CPU. Build: docker build -t invertigo .    Words: docs/real_models.md, "In a container".
FROM python:3.11-slim

# opencv-python needs these two where its wheel meets a bare Debian.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/invertigo
COPY pyproject.toml README.md LICENSE cli.py ./
COPY stylegan_core stylegan_core
COPY inversion inversion
COPY editing editing
COPY invertigo invertigo
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir '.[studio,video,hub,c2pa]'

# Nobody's photos as root; models go into a volume, so that they are fetched once.
RUN useradd --create-home invertigo && mkdir -p /models /work && chown invertigo /models /work
USER invertigo
ENV INVERTIGO_CACHE=/models
VOLUME /models
WORKDIR /work
ENTRYPOINT ["invertigo"]
CMD ["--help"]

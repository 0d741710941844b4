# One image for all services and for the command line; the command says which. Wheels only, no compiler, not as root.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock browser.lock ./
RUN python -m venv /opt/larder \
    && /opt/larder/bin/pip install --require-hashes --only-binary :all: -r requirements.lock \
    && /opt/larder/bin/pip install --require-hashes --only-binary :all: --no-deps -r browser.lock
COPY pyproject.toml README.md LICENSE ./
COPY shared ./shared
COPY services ./services
COPY larder ./larder
RUN /opt/larder/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /home/larder --create-home larder \
    && mkdir -p /var/lib/larder && chown larder:larder /var/lib/larder
COPY --from=build /opt/larder /opt/larder
ENV PATH=/opt/larder/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LARDER_HOME=/var/lib/larder LARDER_HOST=0.0.0.0
USER larder
VOLUME /var/lib/larder
CMD ["larder", "--help"]

# A static binary and the trusted authorities, in an image with nothing else: no shell, no root.
#
#   docker build --tag tally .
#   docker run --publish 127.0.0.1:7777:7777 --volume tally:/var/lib/tally --read-only tally

FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates musl-tools \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
# The caches stay with the builder, so a second build compiles only changes. They are not part of
# the image, so the same step copies the binary out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tally --target "$(uname -m)-unknown-linux-musl" \
    && install -D "target/$(uname -m)-unknown-linux-musl/release/tally" /image/usr/local/bin/tally \
    && mkdir /image/data

FROM scratch
# For `sslmode=verify-full` and `https://`.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/usr/local/bin/tally /usr/local/bin/tally
# Holds the default database, sqlite:tally.db. The only place that is written to, and in Docker a new volume
# belongs to the owner of this folder.
COPY --from=build --chown=10001:10001 /image/data /var/lib/tally
USER 10001:10001
WORKDIR /var/lib/tally
VOLUME /var/lib/tally
ENV PATH=/usr/local/bin HOME=/var/lib/tally
# A container's loopback is unreachable from outside. Publish the port on the host's loopback.
ENV LISTEN_ADDR=0.0.0.0:7777
EXPOSE 7777
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["tally", "health"]
ENTRYPOINT ["tally"]
CMD ["serve"]
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="Tally" \
      org.opencontainers.image.description="Exact counts of what services do" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"

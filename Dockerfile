# Builds in one image and runs in a smaller one.
#
#   docker build --tag tally .
#   docker run --publish 127.0.0.1:7777:7777 --volume tally:/var/lib/tally tally

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay with the builder, so a second build compiles only changes. They are not part of
# the image, so the same step copies the binary out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tally \
    && install -m 0755 target/release/tally /usr/local/bin/tally

FROM debian:12.12-slim
# The build image's trusted authorities, for `sslmode=verify-full` and `https://`.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/tally /usr/local/bin/tally
RUN useradd --system --uid 10001 --home-dir /var/lib/tally --create-home tally
USER tally
# Holds the default database, sqlite:tally.db.
WORKDIR /var/lib/tally
VOLUME /var/lib/tally
# A container's loopback is unreachable from outside. Publish the port on the host's loopback.
ENV LISTEN_ADDR=0.0.0.0:7777
# It asks for keys: docker exec CONTAINER tally key create NAME --scope admin
ENV TALLY_AUTH=keys
EXPOSE 7777
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["tally", "health"]
ENTRYPOINT ["tally"]
CMD ["serve"]

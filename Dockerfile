# Built in one image, run in a small one.
#
#   docker build --tag tally .
#   docker run --publish 127.0.0.1:7777:7777 --volume tally:/var/lib/tally tally

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay with the builder, so a second build compiles only what changed. They are not
# part of the image: the binary is copied out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tally \
    && install -m 0755 target/release/tally /usr/local/bin/tally

FROM debian:12.12-slim
# For `sslmode=verify-full` and `https://`: the authorities that the build image trusts.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/tally /usr/local/bin/tally
RUN useradd --system --uid 10001 --home-dir /var/lib/tally --create-home tally
USER tally
# The default database, sqlite:tally.db, lies here.
WORKDIR /var/lib/tally
VOLUME /var/lib/tally
# Loopback inside a container cannot be reached from outside. Publish the port on loopback.
ENV LISTEN_ADDR=0.0.0.0:7777
EXPOSE 7777
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["tally", "health"]
ENTRYPOINT ["tally"]
CMD ["serve"]

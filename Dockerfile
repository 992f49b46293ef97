# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep downloaded and compiled dependencies between builds, whatever changes in the sources.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package mqttchat \
    && install -D target/release/mqttchat /out/mqttchat

FROM debian:bookworm-slim
RUN groupadd --system --gid 10001 mqttchat \
    && useradd --system --uid 10001 --gid mqttchat --no-create-home --home-dir /data --shell /usr/sbin/nologin mqttchat \
    && install -d -o mqttchat -g mqttchat -m 0700 /data
COPY --from=build /out/mqttchat /usr/local/bin/mqttchat
USER mqttchat
WORKDIR /data
VOLUME /data
ENV MQTTCHAT_DATA=/data
EXPOSE 9091
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["mqttchat", "healthcheck"]
ENTRYPOINT ["mqttchat"]
CMD ["--bind", "0.0.0.0"]

# docker build -t ringfence .
# docker run -d --name ringfence -p 1812-1813:1812-1813/udp -v ringfence:/var/lib/ringfence ringfence
# docker exec ringfence ringfence customer list
#
# The daemon writes in its volume and nowhere else, so backups go there, and from there to you:
# docker exec ringfence ringfence db backup /var/lib/ringfence/backups/2026-01-01
# docker cp ringfence:/var/lib/ringfence/backups/2026-01-01 .
#
# Docker's proxy in user space hides where packets come from, and a NAS is known by its address: use
# --network host, or a network whose addresses the NASes keep.

FROM rust:1.95-bookworm AS build
WORKDIR /build
# First what other people wrote, so that it is built again only when Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY tests/real_time.rs tests/real_time.rs
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && : > src/lib.rs \
    && cargo build --release --locked --bin ringfence \
    && rm -r src
COPY . .
# Cargo judges by the time of change, and what was copied may be older than the empty files above.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin ringfence

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="ringfence" \
      org.opencontainers.image.description="RADIUS authorization and accounting for phone services, with credit control" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10812 --home-dir /var/lib/ringfence --shell /usr/sbin/nologin ringfence \
    && install -d -o ringfence -g ringfence -m 0750 /var/lib/ringfence /run/ringfence
COPY --from=build /build/target/release/ringfence /usr/local/bin/ringfence
COPY --from=build /build/config/ringfence.toml /etc/ringfence/ringfence.toml
COPY --from=build /build/LICENSE /usr/share/doc/ringfence/LICENSE
USER ringfence
WORKDIR /var/lib/ringfence
ENV RINGFENCE_STORAGE__PATH=/var/lib/ringfence/ringfence.db \
    RINGFENCE_ADMIN__SOCKET=/run/ringfence/ringfence.sock \
    RINGFENCE_SOCKET=/run/ringfence/ringfence.sock
VOLUME /var/lib/ringfence
EXPOSE 1812/udp 1813/udp
# The daemon finishes what it took when it is told to stop.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9180 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"]
ENTRYPOINT ["ringfence"]
CMD ["serve", "--config", "/etc/ringfence/ringfence.toml"]

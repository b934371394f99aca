# The image of `cargo xtask image`, for those who prefer an engine: docker build -t naytife/observer .
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo xtask image

FROM scratch
COPY --from=build /source/target/release/observer-static /observer
LABEL org.opencontainers.image.title="observer" \
      org.opencontainers.image.description="HTTP, PostgreSQL and Redis metrics of a shop platform, from the kernel" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/observer"]
CMD ["run"]

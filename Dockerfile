# The images of Latchkey's two programs:
#
#   docker build --target server   -t latchkey-server .
#   docker build --target operator -t latchkey-operator .
#
# With a builder that does not support BuildKit's cache mounts, compile the programs first and pass their folder:
#
#   docker build --target server --build-arg BINARIES=prebuilt -f Dockerfile target/release
#
# BINARIES names the stage that provides the programs. The other stage is not built, so the second form
# needs no Rust image. BASE_IMAGE can be any image with glibc and CA certificates in Debian's folders; the images
# contain only the files of it that the programs need.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot
ARG BINARIES=compile

FROM ${RUST_IMAGE} AS compile
WORKDIR /src
COPY . .
# The target folder is a cache mount, which is not part of the image, so the programs are copied out of it. On arm64 the kernel
# that runs the image may have larger pages than the one that builds it, which the allocator has to be built for.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
    && cargo build --release --locked --bin latchkey-server --bin latchkey-operator \
    && install -D -t /programs target/release/latchkey-server target/release/latchkey-operator

FROM scratch AS prebuilt
COPY latchkey-* /programs/

FROM ${BINARIES} AS binaries

FROM ${BASE_IMAGE} AS base

# The C library and its loader, the certificate authorities, and the user. The names of folders and of the loader depend on
# the platform; a loader is at /lib or at /lib64.
FROM scratch AS runtime
COPY --from=base /lib/*-linux-gnu/libc.so.6 /lib/*-linux-gnu/libm.so.6 /lib/*-linux-gnu/libgcc_s.so.1 /lib/
COPY --from=base /lib/*-linux-gnu/ld-linux-*.so.* /lib/
COPY --from=base /lib/*-linux-gnu/ld-linux-*.so.* /lib64/
COPY --from=base /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=base /etc/passwd /etc/group /etc/nsswitch.conf /etc/

FROM runtime AS server
LABEL org.opencontainers.image.title="latchkey-server" \
      org.opencontainers.image.description="Latchkey's REST auth server" \
      org.opencontainers.image.vendor="Latchkey"
COPY --from=binaries /programs/latchkey-server /usr/local/bin/latchkey-server
# A numeric user, so that the kubelet can verify runAsNonRoot.
USER 65532:65532
# 8080: the API. 9090: health, metrics and status.
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/latchkey-server"]
CMD ["serve"]

FROM runtime AS operator
LABEL org.opencontainers.image.title="latchkey-operator" \
      org.opencontainers.image.description="Keeps Latchkey auth servers running on Kubernetes" \
      org.opencontainers.image.vendor="Latchkey"
COPY --from=binaries /programs/latchkey-operator /usr/local/bin/latchkey-operator
USER 65532:65532
# Health and metrics.
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/latchkey-operator"]
CMD ["run"]

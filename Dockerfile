# docker build --build-arg VERSION=1.2.3 -t certgate .
# docker build --target schedule -t certgate-schedule .

FROM golang:1.26-bookworm AS build
WORKDIR /src

# The modules change less often than the code: their layer stays in the cache.
COPY go.mod go.sum ./
RUN go mod download

COPY cmd cmd
COPY internal internal
ARG VERSION=dev
ENV CGO_ENABLED=0
RUN go build -tags nomsgpack -trimpath -ldflags "-s -w -X main.version=${VERSION}" \
      -o /out/ ./cmd/certgate ./cmd/schedule
# The final images have no shell, so this stage creates the folder.
RUN mkdir /out/data

# The base has CA certificates for an https upstream, the user nonroot (65532), and no programs.
FROM gcr.io/distroless/static-debian12:nonroot AS run
USER 65532:65532
STOPSIGNAL SIGTERM

FROM run AS schedule
ARG VERSION=dev
LABEL org.opencontainers.image.title="certgate schedule" \
      org.opencontainers.image.description="The reference service behind certgate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/certgate/certgate" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out/schedule /schedule
COPY --from=build --chown=65532:65532 /out/data /data
VOLUME /data
ENV LISTEN_ADDR=:8080 DATABASE=/data/schedule.db
EXPOSE 8080
ENTRYPOINT ["/schedule"]

# The last stage is what a build without --target makes.
FROM run AS certgate
ARG VERSION=dev
LABEL org.opencontainers.image.title="certgate" \
      org.opencontainers.image.description="Tells a service which application is calling, where TLS ends before it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/certgate/certgate" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out/certgate /certgate
# 9090 is the operator's port, which listens on loopback unless ADMIN_ADDR is set.
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["/certgate", "health"]
ENTRYPOINT ["/certgate"]
CMD ["serve"]

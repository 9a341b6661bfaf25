# OHIF as its authors built it, behind nginx, for the compose profile `pacs`. The package of the npm
# registry is pinned by its digest. At run time the viewer asks no host but its own.
#
#   docker build -f docker/ohif.Dockerfile -t g2d-radiograph:ohif .
#
# A build behind a mirror passes its npm settings as a secret: --secret id=npmrc,src=...

FROM debian:bookworm-slim AS package
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates npm openssl \
    && rm -rf /var/lib/apt/lists/*
ARG OHIF_VERSION=3.12.10
ARG OHIF_SHA512=0kuF66Mq9c9dMD++bUsTjMrJpXJwaZhz9B4uS244DawAjSkTwIYFU93pxPuRUQixaRi7QAHlF3Fe1qudBlZrmA==
WORKDIR /package
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    npm pack --silent "@ohif/app@${OHIF_VERSION}" \
    && test "$(openssl dgst -sha512 -binary ./*.tgz | base64 --wrap=0)" = "${OHIF_SHA512}" \
    && tar --extract --gzip --file ./*.tgz \
    && rm -rf package/dist/ort


FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl nginx-light \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10003 --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin viewer
COPY --from=package /package/package/dist /srv/ohif
COPY docker/pacs/app-config.js /srv/ohif/app-config.js
COPY docker/pacs/nginx.conf /etc/nginx/g2d.conf

USER 10003:10003
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--max-time", "2", "--output", "/dev/null", "http://127.0.0.1:3000/"]
CMD ["/usr/sbin/nginx", "-c", "/etc/nginx/g2d.conf", "-g", "daemon off;"]

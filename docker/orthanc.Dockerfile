# Orthanc with DICOMweb from Debian, for the compose profile `pacs` and for trials: it performs no
# authentication, so that its ports must not be reachable from other hosts.
#
#   docker build -f docker/orthanc.Dockerfile -t g2d-radiograph:orthanc .

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl orthanc orthanc-dicomweb \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10002 --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin pacs \
    && install --directory --owner pacs --group pacs --mode 0700 /var/lib/orthanc/db
COPY docker/pacs/orthanc.json /etc/orthanc-g2d/orthanc.json

USER 10002:10002
EXPOSE 4242 8042
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--max-time", "2", "http://127.0.0.1:8042/system"]
ENTRYPOINT ["/usr/sbin/Orthanc"]
CMD ["/etc/orthanc-g2d/orthanc.json"]

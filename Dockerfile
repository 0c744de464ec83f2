# everybar as a service. Build: docker build -t everybar .   Run: docker run --rm everybar --help
# Two stages: the first compiles and installs what the second runs; no compiler, no test, no cache travels on.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.ts scripts/build.ts
COPY src src
RUN node scripts/build.ts
# The drivers are optional for the library; the image has ccxt, PostgreSQL and BigQuery in it, as the lock pins them.
COPY docker/drivers.mjs docker/drivers.mjs
RUN node docker/drivers.mjs \
  && npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && npm cache clean --force

FROM node:24.21.0-bookworm-slim
LABEL org.opencontainers.image.title="everybar" \
      org.opencontainers.image.description="Every bar, exactly once, provably complete" \
      org.opencontainers.image.licenses="Apache-2.0"
# The root file system may be read-only: everything kept is under /data, everything else under /tmp. `live` answers its
# health on the container's own loopback, as `serve` does.
ENV NODE_ENV=production \
    CONFIG_PATH=/config/everybar.yaml \
    EVERYBAR_DATA_ROOT=/data \
    EVERYBAR__SERVE__ENABLED=true \
    HOME=/tmp
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY bin bin
COPY docs/everybar.schema.json docs/everybar.schema.json
COPY docker/health.mjs docker/health.mjs
RUN ln -s /app/bin/everybar.js /usr/local/bin/everybar \
  && chmod 755 /app/bin/everybar.js \
  && mkdir -p /data /config \
  && chown node:node /data
USER node
VOLUME /data
HEALTHCHECK --interval=60s --timeout=10s --start-period=120s --retries=3 CMD ["node", "/app/docker/health.mjs"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["everybar"]
CMD ["live"]

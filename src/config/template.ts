/**
 * The file `everybar init` writes: every setting with its default, commented out, and one series to start with. Its
 * first line points editors at the JSON Schema.
 */
export const configTemplate = (schemaPath: string): string => `# yaml-language-server: $schema=${schemaPath}
#
# everybar keeps the series named here complete: \`everybar plan\`, then \`everybar sync\`.
# Settings that are commented out show their defaults. Values may hold \${NAME}, \${NAME:-default} and
# \${NAME:?message}. A variable such as EVERYBAR__FETCH__CONCURRENCY=8 wins over this file; a flag wins over both.
# Quote symbols that look like numbers: "0123", "1e3".

# Folder of everything everybar keeps: raw answers, ledger, Parquet lake. Relative to this file; ~ is your home.
# EVERYBAR_DATA_ROOT and --root win over it.
root: ./everybar_data

# Series to keep. Either a selector, venue:market:symbol:timeframe, or its parts with a range of their own.
series:
  - binance:spot:BTCUSDT:1m
#  - { venue: binance, market: spot, symbol: [ETHUSDT, SOLUSDT], timeframe: [1m, 1h], from: 2024-01 }
#  - binance:um:BTCUSDT:1h
#  - "binance:spot:*BTC:1d"

# Venues and how to reach them.
#sources:
#  binance:
#    base_url: https://api.binance.com
#    # futures_base_url: https://fapi.binance.com (base_url where only that was changed)
#    limits:
#      # Part of the venue's rate limit to use; less than 1 leaves room for other programs on this address.
#      share: 1
#  kite:
#    base_url: https://api.kite.trade
#    login_url: https://kite.zerodha.com/connect/login
#    # api_key: \${EVERYBAR_KITE_API_KEY}
#    # api_secret: \${EVERYBAR_KITE_API_SECRET}
#    # access_token: (instead of everybar kite login)
#    # token_file: ~/.config/everybar/kite-token.json
#    # Days one request may ask for, where the venue has changed them.
#    # day_caps:
#    #   minute: 60
#    #   3minute: 100
#    #   5minute: 100
#    #   10minute: 100
#    #   15minute: 200
#    #   30minute: 200
#    #   60minute: 400
#    #   day: 2000
#    # What you know better than the session calendar of the Indian exchanges.
#    calendar:
#      closed: []
#      sessions: []
#  # Every other venue is read by ccxt (npm install ccxt@4): kraken:spot:BTC/USD:1h.
#  ccxt:
#    # base_url: http://127.0.0.1:8787 (in place of every venue's own host)
#    # venues: { kraken: { base_url: http://127.0.0.1:8787 } }
#    # Bars older than a venue gives any more (Kraken: its latest 720): incomplete, or absent.
#    beyond_reach: incomplete
#    limits:
#      share: 1

# The daily import from Kite: everybar kite login, everybar instruments sync kite, then everybar sync.
# # kite:
# #   enabled: true
# #   candle_interval: day
# #   instrument_types: [EQ]
# #   exchanges: [NSE, BSE]
# #   segments: []
# #   symbols: []
# #   expiry_from: 2026-01-01
# #   expiry_to: 2026-12-31
# #   batch_size: 100
# #   rate_limit: 3
# #   max_retries: 3
# #   retry_delay_seconds: 1
# #   bootstrap_from_date: 1995-01-01
# #   parallel_workers: 10

# The same in a collector's words: series by exchange, and its few settings. Times in seconds; they win over fetch.
#exchanges: {}
#  # kraken:
#  #   - { symbol: BTC/USD, timeframes: [1h, 1d], market: spot }
#settings: {}
#  # update_interval_seconds: 60
#  # Bars asked for in one request at most; the range is fetched to its end all the same.
#  # history_page_limit: 200
#  # backoff_base: 1
#  # backoff_factor: 2
#  # backoff_max: 32
#  # backoff_attempts: 5

# What log lines say of this process, and where they go besides. LOKI_URL, LOKI_USERNAME, LOKI_PASSWORD, SERVICE_NAME
# and ENVIRONMENT win over these.
#logs:
#  service_name: everybar
#  environment: production
#  level: debug
#  # loki:
#  #   url: http://localhost:3100
#  #   username: "12345"
#  #   password: \${LOKI_TOKEN}
#  #   tenant: me
#  #   # timeframe, symbol: each value makes streams of its own, and Loki allows some thousands.
#  #   labels: []
#  #   queue_max: 10000

# How raw answers are kept on disk: none or zstd.
#archive:
#  compression: none

# What keeps the status of every slice: sqlite (one database) or manifest (one manifest.json per series).
#ledger: sqlite

# Where bars are written.
#stores:
#  parquet:
#    enabled: true
#  # postgres:
#  #   url: \${DATABASE_URL}
#  #   # or these in its place:
#  #   host: localhost
#  #   port: 5432
#  #   database: market
#  #   user: everybar
#  #   password: \${DATABASE_PASSWORD}
#  #   ssl: true
#  #   schema: public
#  #   table: bars
#  #   # The bar of each followed series that is still open, in bars_open.
#  #   provisional: false
#  #   schema_mode: apply
#  #   timescale: auto
#  #   partitions: none
#  #   columnstore_after_days: 90
#  #   # With TimescaleDB: views it keeps up to date.
#  #   aggregates:
#  #     - { name: bars_1h, base: 1m, width: 1 hour }
#  #   connections: 4
#  # bigquery:
#  #   project: my-project
#  #   dataset: crypto
#  #   table: market_data_ohlcv
#  #   location: US
#  #   api_endpoint: http://127.0.0.1:9050
#  #   schema_mode: apply

#fetch:
#  # Requests in flight at most, per venue.
#  concurrency: 16
#  # Tries of one request, and the waits between them.
#  attempts: 5
#  backoff_base_ms: 1000
#  backoff_factor: 2
#  backoff_max_ms: 32000
#  # After a 429 that names no wait.
#  rate_limit_base_ms: 2000
#  rate_limit_max_ms: 30000
#  # A ban or Retry-After longer than this ends the run with exit code 5.
#  ban_wait_max_ms: 300000
#  connect_timeout_ms: 10000
#  headers_timeout_ms: 30000
#  body_timeout_ms: 30000
#  body_bytes_max: 67108864

# What a running "everybar serve" answers over HTTP.
#serve:
#  # Whether "everybar live" answers too.
#  enabled: false
#  # Anything but this machine alone wants a token.
#  host: 127.0.0.1
#  port: 8080
#  # token: \${EVERYBAR_TOKEN}
#  # Further names it may be asked by, where a proxy stands before it.
#  hosts: []
#  # Not ready once the first missing bar of a series has been due for longer.
#  overdue_max_seconds: 300
#  # Between two passes that look for gaps and fill them; 0 for none.
#  completeness_seconds: 3600
#  # A lag for each series among the metrics.
#  series_label: false

# What "everybar serve" runs by the clock: sync, kite, verify or compact.
#jobs: []
#  # - { name: kite-daily, schedule: "0 18 * * 1-5", timezone: Asia/Kolkata, run: kite }
`

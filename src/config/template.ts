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
#  #   schema_mode: apply
#  #   timescale: auto
#  #   partitions: none
#  #   columnstore_after_days: 90
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
#  attempts: 6
#  backoff_base_ms: 500
#  backoff_max_ms: 30000
#  # A ban or Retry-After longer than this ends the run with exit code 5.
#  ban_wait_max_ms: 300000
#  connect_timeout_ms: 10000
#  headers_timeout_ms: 30000
#  body_timeout_ms: 30000
#  body_bytes_max: 67108864
`

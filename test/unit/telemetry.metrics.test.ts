import { expect, test } from 'vitest'
import { houseMetrics } from '../../src/telemetry/house-metrics.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'

test('the text exposition format, labels escaped and in order', async () => {
  const metrics = new Metrics()
  metrics.counter('a_total', 'Things,\nof a kind.').add(2, { z: 'q"\\', b: 'x\ny' })
  metrics.counter('a_total', 'ignored').add(1, { b: 'x\ny', z: 'q"\\' })
  metrics.gauge('g', 'One.').set(Number.POSITIVE_INFINITY)
  const took = metrics.histogram('h_seconds', 'Took.', [0.1, 1])
  for (const value of [0.05, 0.5, 5]) took.observe(value)
  expect(await metrics.text()).toBe(`# HELP a_total Things,\\nof a kind.
# TYPE a_total counter
a_total{b="x\\ny",z="q\\"\\\\"} 3
# HELP g One.
# TYPE g gauge
g +Inf
# HELP h_seconds Took.
# TYPE h_seconds histogram
h_seconds_bucket{le="0.1"} 1
h_seconds_bucket{le="1"} 2
h_seconds_bucket{le="+Inf"} 3
h_seconds_sum 5.55
h_seconds_count 3
`)
})

test('what happens in the house is counted, without a symbol', async () => {
  const { registry, onEvent, watch } = houseMetrics({ version: '1.2.3' })
  const series = 'kraken:spot:XXBTZUSD:1h'
  onEvent({ event: 'fetch_ok', series, duration_ms: 250 })
  onEvent({ event: 'fetch_error', series, code: 'fetch.timeout', duration_ms: 9_000 })
  onEvent({ event: 'store_commit', store: 'parquet', rows: 720 })
  onEvent({ event: 'history_page_done', series, status: 'ok' })
  watch({
    usage: () => [{ bucket: 'kraken.ccxt', used: 1, capacity: 4 }],
    waitedMs: () => 1_500,
    lags: async () => [
      { series, seconds: 5 },
      { series: 'kraken:spot:XETHZUSD:1h', seconds: 65 },
    ],
    gaps: async () => ({ no_trade: 3 }),
    droppedLogLines: () => 7,
  })
  const text = await registry.text()
  for (const line of [
    'everybar_build_info{version="1.2.3"} 1',
    'everybar_requests_total{outcome="ok",venue="kraken"} 1',
    'everybar_requests_total{outcome="fetch.timeout",venue="kraken"} 1',
    'everybar_request_duration_seconds_bucket{le="0.25",venue="kraken"} 1',
    'everybar_bars_written_total{store="parquet"} 720',
    'everybar_slices_total{status="ok",venue="kraken"} 1',
    'everybar_weight_used_ratio{bucket="kraken.ccxt"} 0.25',
    'everybar_wait_seconds 1.5',
    'everybar_series_lag_seconds{venue="kraken"} 65',
    'everybar_gap_bars{class="no_trade"} 3',
    'everybar_log_lines_dropped 7',
  ]) {
    expect(text.split('\n')).toContain(line)
  }
  expect(text).not.toContain('XXBTZUSD')
})

test('a reading that fails leaves the other numbers; the number of label sets is bounded', async () => {
  const metrics = new Metrics()
  metrics.collect(() => Promise.reject(new Error('down')))
  const many = metrics.counter('m_total', 'Many.')
  for (let i = 0; i < 10_005; i++) many.add(1, { i: String(i) })
  const lines = (await metrics.text()).trim().split('\n')
  expect(lines.length).toBe(2 + 10_000 + 1)
  expect(lines.at(-1)).toBe('# 5 sets of labels left out: too many')
})

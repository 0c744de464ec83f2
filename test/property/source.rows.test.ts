import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readKlineRows } from '../../src/source/binance/rows.ts'
import { scanKlineRows } from '../../src/source/binance/scan-rows.ts'
import { decimalOrNaN } from '../../src/source/read.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

const digits = (max: number) =>
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: max }).map((list) => list.join(''))
/** Decimals as venues write them, and longer than any double can hold. */
const decimal = fc
  .tuple(
    fc.constantFrom('', '-'),
    digits(14),
    fc.oneof(fc.option(digits(14), { nil: undefined }), fc.stringMatching(/^\d{8}$/)),
  )
  .map(([sign, whole, fraction]) => `${sign}${whole}${fraction === undefined ? '' : `.${fraction}`}`)
const time = fc.integer({ min: 1e12, max: 9e12 })
const row = fc
  .tuple(time, fc.array(decimal, { minLength: 8, maxLength: 8 }), time, fc.nat())
  .map(([open, d, close, trades]) => [open, ...d.slice(0, 5), close, d[5], trades, d[6], d[7], '0'])
const anything = fc.oneof(fc.constantFrom(null, '', 'NaN', '1e3', '0x1', [], {}, true, 1.5), decimal)
const oddRow = fc
  .tuple(row, fc.nat(11), anything)
  .map(([cells, at, value]) => cells.with(at, value as string))

describe('the fast reader and the careful one', () => {
  test('give the same page for any rows', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 5, arbitrary: row }, oddRow), { maxLength: 20 }), (rows) => {
        const body = bytes(JSON.stringify(rows))
        expect(readKlineRows(body, 1_000)).toEqual(readKlineRows(body))
      }),
    )
  })

  test('agree on every cut and every changed byte: what one refuses, the other never reads as data', () => {
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        fc.nat(255),
        (rows, where, byte) => {
          const body = bytes(JSON.stringify(rows))
          const changed = body.with(where % body.length, byte)
          const careful = (page: Uint8Array) => {
            try {
              return readKlineRows(page)
            } catch {
              return undefined
            }
          }
          for (const page of [changed, body.subarray(0, where % body.length)]) {
            const fast = scanKlineRows(page, 1_000)
            if (fast) expect({ rows: fast, badRows: [] }).toEqual(careful(page))
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  const priced = (close: string, trades: number | string = 399) =>
    `[[1600000020000,"53401.02000000","89999999.00000000","0.00000001","${close}","11.52485000",1600000079999,` +
    `"12345678901.5",${trades},"7.304","390120.80976000","0"]]`
  test.each([
    ['53422.86000000', true],
    ['0.00000000', true],
    ['90071992.54740991', true],
    // 2^53 hundred-millionths: from here on a double does not hold every one of them.
    ['90071992.54740992', false],
    ['90071992.54740993', false],
    ['1234567890', true],
    ['9007199254740991', true],
    ['9007199254740993', false],
    ['0.0000000000000000000001', true],
    ['1.', true],
    ['.5', false],
    ['', false],
    ['1.5.5', false],
    ['1e3', false],
    ['1.0000000x', false],
    ['1.000000:0', false],
  ])('a close of "%s" is read %s, and as JSON has it', (close, fast) => {
    const body = bytes(priced(close))
    expect(scanKlineRows(body, 1) !== undefined).toBe(fast)
    expect(readKlineRows(body, 1)).toEqual(readKlineRows(body))
    if (fast) expect(readKlineRows(body, 1).rows.close[0]).toBe(Number(close))
  })

  test.each([
    [1, true],
    [123_456_789, true],
    ['1234567890', false],
    ['01', false],
    ['-1', false],
  ])('%s trades are read: %s', (trades, fast) => {
    const body = bytes(priced('1.5', trades))
    expect(scanKlineRows(body, 1)?.native.trades?.[0]).toBe(fast ? trades : undefined)
  })

  test('the fast one does read plain pages', () => {
    const plain = [
      1_640_995_200_000,
      '1.5',
      '2',
      '0.5',
      '1',
      '10.25',
      1_640_995_259_999,
      '15',
      3,
      '5',
      '7.5',
      '0',
    ]
    expect(scanKlineRows(bytes(JSON.stringify([plain, plain])), 2)?.length).toBe(2)
    expect(scanKlineRows(bytes(JSON.stringify([plain, plain])), 1)).toBeUndefined()
    expect(scanKlineRows(bytes('[]'), 1)).toBeUndefined()
  })
})

describe('decimalOrNaN', () => {
  const grammar = /^-?(?:0|[0-9]\d*)(?:\.\d*)?(?:[eE][+-]?\d+)?$/
  test('reads exactly the decimals, whatever the text', () => {
    const pieces = fc.constantFrom(...'0123456789+-.eExXbo_, \n\tNaInfity'.split(''))
    const text = fc.array(pieces, { maxLength: 8 }).map((list) => list.join(''))
    fc.assert(
      fc.property(fc.oneof(text, decimal, fc.double().map(String)), (value) => {
        const expected = grammar.test(value) && Number.isFinite(Number(value)) ? Number(value) : Number.NaN
        expect(decimalOrNaN(value)).toBe(expected)
      }),
      { numRuns: 3_000 },
    )
  })
})

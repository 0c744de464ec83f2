import { open, readFile, rename, rm } from 'node:fs/promises'
import {
  CERTIFICATE_VERSION,
  type Certificate,
  type CertificateHead,
  certificateText,
  composeCertificates,
  readCertificate,
  type StreamedSeries,
} from '../coverage/certificate.ts'
import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import { parseSeries } from '../model/series.ts'
import { iso } from '../model/time.ts'
import { certifySeries } from '../pipeline/certify.ts'
import { jobOf } from '../pipeline/house.ts'
import type { VerifyHouse } from '../pipeline/verify.ts'
import { type AgainstVerdict, answerHistory, verifyAgainst } from '../pipeline/verify-against.ts'
import type { AgainstReport, Selection, VerifyReport } from './api.ts'
import type { OpenHouse } from './house.ts'
import { prove, type VerifyOptions } from './verify.ts'
import { packageVersion } from './version.ts'

/**
 * Proves a selection and writes a certificate of it, whole or not at all. Nothing is written where there is a fault.
 *
 * @throws EverybarError `certificate.not-written` (abort), `certificate.busy` (retry).
 */
export async function certify(
  house: OpenHouse,
  selection: Partial<Selection>,
  options: VerifyOptions & { readonly file: string },
  stop: AbortSignal,
): Promise<VerifyReport> {
  const before = await revisionsOf(house)
  const { report, verdicts } = await prove(house, selection, options, stop)
  if (report.faultCount > 0) return report
  const ordered = [...verdicts].sort((a, b) => (a.job.id < b.job.id ? -1 : 1))
  const series = async function* (): AsyncGenerator<StreamedSeries> {
    for (const { job, verdict } of ordered) yield certifySeries(provable(house), job, verdict)
    if ((await revisionsOf(house)) !== before) throw wroteMeanwhile(options.file)
  }
  await writeText(options.file, certificateText(headOf(house), series()))
  return report
}

/**
 * Compares what there is with certificates, which are composed first; writes them as one where a file is named and
 * nothing differs.
 *
 * @throws EverybarError `certificate.corrupt`, `certificate.newer-version`, `certificate.not-readable`,
 *   `certificate.not-adjoining`, `certificate.conflict`, `certificate.not-written` (abort).
 */
export async function proveAgainst(
  house: OpenHouse,
  options: { readonly against: readonly string[]; readonly file?: string },
  stop: AbortSignal,
): Promise<AgainstReport> {
  const certificates: Certificate[] = []
  for (const file of options.against) certificates.push(readCertificate(await readText(file), file))
  const whole = await wholeOf(house, certificates)
  // With damaged ones out of the way, what they held shows as missing, bar for bar.
  await house.lake.skipDamagedDeltas()
  const verdicts: AgainstVerdict[] = []
  for (const certified of whole.series) {
    stop.throwIfAborted()
    verdicts.push(
      await verifyAgainst(provable(house), jobOf(house, parseSeries(certified.series)), certified),
    )
  }
  const faults = verdicts.flatMap((verdict) => verdict.faults)
  if (options.file !== undefined && faults.length === 0) {
    const { series, ...head } = whole
    await writeText(options.file, certificateText(head, series))
  }
  return {
    certificates: certificates.map(({ made_at, digest, everybar }, i) => ({
      file: options.against[i]!,
      madeAt: made_at,
      everybar,
      digest,
    })),
    series: verdicts.map(({ faults: _, ...verdict }) => verdict),
    faults: faults.slice(0, FAULTS_TOLD),
    faultCount: faults.length,
    complete: faults.length === 0 && whole.series.every(({ complete }) => complete),
  }
}

/** Bars are those of the first store. A lake that is switched off may be there still, but is none of the stores. */
const provable = (house: OpenHouse): VerifyHouse => ({
  ...house,
  lake: house.stores.includes(house.lake) ? house.lake : undefined,
})

const FAULTS_TOLD = 1_000

/** A word that changes with every record. */
async function revisionsOf({ ledger }: OpenHouse): Promise<string> {
  const revisions: number[] = []
  for (const series of await ledger.series()) revisions.push(await ledger.revision(series))
  return revisions.join(' ')
}

const wroteMeanwhile = (path: string): EverybarError =>
  new EverybarError('certificate.busy', 'another process has written while the certificate was made', {
    recovery: 'retry',
    hint: 'Make it again when nothing writes to the root.',
    path,
  })

/** One certificate as it is, several as one. */
async function wholeOf(
  house: OpenHouse,
  certificates: readonly Certificate[],
): Promise<Omit<Certificate, 'digest'>> {
  if (certificates.length !== 1)
    return composeCertificates(certificates, headOf(house), (series, key) =>
      answerHistory(house, jobOf(house, parseSeries(series)), key),
    )
  const { digest: _, ...only } = certificates[0]!
  return only
}

const headOf = ({ clock }: OpenHouse): CertificateHead => ({
  version: CERTIFICATE_VERSION,
  everybar: packageVersion(),
  made_at: iso(Math.floor(clock.nowMs())),
})

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new EverybarError('certificate.not-readable', `cannot read the certificate: ${messageOf(cause)}`, {
      recovery: 'abort',
      hint: 'Name a file that verify --certificate has written.',
      path: file,
      cause,
    })
  }
}

/** Beside its place first, so that no half of a certificate is ever taken for one. */
async function writeText(file: string, text: AsyncIterable<string>): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    const handle = await open(temporary, 'w')
    try {
      let piece = ''
      for await (const more of text) {
        piece += more
        if (piece.length < PIECE) continue
        await handle.write(piece)
        piece = ''
      }
      await handle.write(piece)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {})
    if (isEverybarError(cause)) throw cause
    throw new EverybarError('certificate.not-written', `cannot write the certificate: ${messageOf(cause)}`, {
      recovery: 'abort',
      hint: 'Name a file in a folder this user may write to.',
      path: file,
      cause,
    })
  }
}

/** Characters written at once. */
const PIECE = 1 << 18

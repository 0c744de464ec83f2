/** Why an expected bar is not stored: exactly one class each. */
export type GapClass =
  | 'before_listing'
  | 'after_delisting'
  | 'closed_session'
  | 'venue_outage'
  | 'no_trade'
  | 'source_absent'
  | 'not_yet_final'
  | 'never_fetched'
  | 'fetch_failed'
  | 'quarantined'

/** The classes that keep a range from being complete. */
export const openClasses: ReadonlySet<GapClass> = new Set([
  'not_yet_final',
  'never_fetched',
  'fetch_failed',
  'quarantined',
])

/** Missing bars of the open classes. */
export const openBars = (missing: { readonly [name in GapClass]?: number }): number =>
  [...openClasses].reduce((sum, name) => sum + (missing[name] ?? 0), 0)

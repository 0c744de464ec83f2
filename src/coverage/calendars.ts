import {
  type CalendarData,
  type CalendarOverrides,
  type SessionCalendar,
  sessionCalendar,
} from './calendar.ts'
import indiaEquity from './calendars/india-equity.json' with { type: 'json' }

/** The calendars that come with everybar. */
const files: readonly CalendarData[] = [indiaEquity]

/** The calendar of a market by its name in selectors (`nse`); `undefined` where none is known. */
export function calendarOfMarket(market: string, overrides?: CalendarOverrides): SessionCalendar | undefined {
  const data = files.find(({ markets }) => markets.includes(market))
  return data && sessionCalendar(data, overrides)
}

import type { Job } from '../../src/jobs/catalogue';
import type { Due, KnownGrant } from '../faults/invariants';
import { day } from '../support/arrange';

/** The default of NOTIFICATION_LEAD_DAYS. */
const leadDays = [1, 7, 14];

/** A state of a grant and its time span. */
interface GrantState {
  readonly endsAt: Date;
  readonly from: Date;
  until?: Date;
}

/** A grant of a history, and what is due for it by the rules of the jobs. */
export class HistoryGrant implements KnownGrant {
  byHand = 0;
  unsettled = false;
  granted = true;
  deleted = false;
  dues: readonly Due[] = [];
  /** While it is granted and the view yields it once. */
  readonly #states: GrantState[] = [];

  constructor(
    readonly id: KnownGrant['id'],
    readonly requestNumber: string,
    public endsAt: Date,
  ) {}

  /** Its end, or its row in the view, has changed between two times. */
  setState(yieldedOnce: boolean, before: Date, after: Date): void {
    const granted = yieldedOnce && this.granted;
    const last = this.#states.at(-1);
    if (last && !last.until) {
      if (granted && last.endsAt === this.endsAt) return;
      last.until = after;
    }
    if (granted) this.#states.push({ endsAt: this.endsAt, from: before });
  }

  /** Sets `dues`: what has been due until now. */
  findDues({ kind }: Job, now: Date): void {
    this.dues = this.#states.flatMap((state) => {
      const { endsAt } = state;
      const spans =
        kind === 'revocation'
          ? [{ since: +endsAt, until: Infinity }]
          : leadDays.map((days, index) => ({
              since: leadBegins(endsAt, days),
              until: index === 0 ? +endsAt : leadBegins(endsAt, leadDays[index - 1] ?? 0),
            }));
      return spans.flatMap(({ since, until: spanEnd }) => {
        const from = Math.max(+state.from, since);
        const until = Math.min(+(state.until ?? Infinity), spanEnd);
        if (from > Math.min(until, +now)) return [];
        const ended = until <= +now && { until: new Date(until) };
        return { endsAt, since: new Date(since), from: new Date(from), ...ended };
      });
    });
  }
}

/** 00:00 UTC, so many days before the grant's last day. */
const leadBegins = (endsAt: Date, days: number): number => (Math.floor(+endsAt / day) - days) * day;

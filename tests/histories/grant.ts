import type { Job } from '../../src/jobs/catalogue';
import { day } from '../support/arrange';
import type { GrantSpec } from '../support/environment';

/** The default of NOTIFICATION_LEAD_DAYS. */
const leadDays = [1, 7, 14];

/** A grant with which a history starts; times are in ms from then. */
export interface GrantPlan extends GrantSpec {
  readonly endsIn: number;
  /** It has a row that is so old. */
  readonly recordedBefore?: number;
  /** No message can go to its address. */
  readonly undeliverable?: true;
  /** The status of its message is Running at first, and so read more than once. */
  readonly slow?: true;
}

/** A revocation or a reminder that is due for a while. */
export interface Due {
  readonly endsAt: Date;
  /** A row dated then or later settles it. */
  readonly since: Date;
  readonly from: Date;
  /** Absent while it is due. */
  readonly until?: Date;
}

/** A state of a grant and its time span. */
interface GrantState {
  readonly endsAt: Date;
  readonly from: Date;
  until?: Date;
}

/** A grant, and what is due for it by the rules of the jobs, independent of the product's SQL. */
export class Grant {
  granted = true;
  /** Nothing can be recorded for it any more. */
  deleted = false;
  /** How often its reminder was sent by hand. */
  byHand = 0;
  /** The result of one of those is unknown, and no run records it. */
  unsettled = false;
  dues: readonly Due[] = [];
  /** While it is granted and the view yields it once. */
  readonly #states: GrantState[] = [];

  /** @param recordedAt the date of its row from before */
  constructor(
    readonly id: number | string,
    readonly requestNumber: string,
    public endsAt: Date,
    readonly recordedAt: Date | undefined,
    readonly undeliverable: boolean,
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
        const isSettled = this.recordedAt !== undefined && +this.recordedAt >= since;
        if (isSettled || this.undeliverable || from > Math.min(until, +now)) return [];
        const ended = until <= +now && { until: new Date(until) };
        return { endsAt, since: new Date(since), from: new Date(from), ...ended };
      });
    });
  }
}

/** 00:00 UTC, so many days before the grant's last day. */
const leadBegins = (endsAt: Date, days: number): number => (Math.floor(+endsAt / day) - days) * day;

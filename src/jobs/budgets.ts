/** Time limits of runs. */

/**
 * How long a run starts new work, in ms from its start. The lock turns stale after 10 minutes; an HTTP answer has to come
 * within 230 seconds ("Azure Functions HTTP trigger", limits). Work under way then ends before the functionTimeout of
 * host.json, which would end the whole worker and every other run in it.
 */
export const timeBudgetsMs = { timer: 9 * 60_000, http: 200_000, cli: 9 * 60_000 } as const;
export type Trigger = keyof typeof timeBudgetsMs;

/** Minimum retry time for recording a sent message, in ms. */
export const recordingGraceMs = 20_000;

/** Retry time for finishing a run's row after its time budget, in ms. */
export const finishingGraceMs = 25_000;

/** Retry time for reading the states of the jobs for telemetry, in ms. */
export const stateBudgetMs = 10_000;

/** Retry budget of reads, in ms. */
export const readBudgetMs = 30_000;

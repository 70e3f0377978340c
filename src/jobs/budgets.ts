/** How long runs, and what follows them, may take. */

/**
 * How long a run starts new work, in ms from its start. The lock turns stale after 10 minutes; an HTTP answer has to come
 * within 230 seconds ("Azure Functions HTTP trigger", limits). What is under way then ends before the functionTimeout of
 * host.json, which takes the whole worker with it: every other run in it, too.
 */
export const timeBudgetsMs = { timer: 9 * 60_000, http: 200_000, cli: 9 * 60_000 } as const;
export type Trigger = keyof typeof timeBudgetsMs;

/** How long recording a message that was sent may be retried at least. In ms. */
export const recordingGraceMs = 20_000;

/** How long a run may try to finish its row when its time budget is spent. In ms. */
export const finishingGraceMs = 25_000;

/** How long a run may try to read the states of the jobs, in ms: they are for telemetry only. */
export const stateBudgetMs = 10_000;

/** Retry budget of reads, in ms. */
export const readBudgetMs = 30_000;

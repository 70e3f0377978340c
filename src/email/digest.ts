import type { Settings } from '../config/settings';

/** The longest address that SMTP carries: 64 + @ + 255 (RFC 5321, 4.5.3.1). */
export const maxAddressLength = 320;

/** A grant with a notification that is due. */
export interface DueGrant {
  readonly requestId: number | string;
  readonly requestNumber: string;
  readonly requesterName: string;
  /** What the access is to. */
  readonly resource: string;
  /** UTC. */
  readonly expiresAt: Date;
  /** The reminder that is due: the one that begins this many days before the grant's last day. Null: it has ended. */
  readonly leadDays: number | null;
  /** Whether an earlier reminder of this end is recorded. Without one, none can be the last. */
  readonly remindedBefore: boolean;
  /** UTC. A notification recorded since then settles it. */
  readonly dueSince: Date;
}

/** All grants of one person that are due, soonest first. */
export interface Digest {
  /** A usable address, in lower case. */
  readonly recipient: string;
  readonly grants: readonly DueGrant[];
}

export interface DigestOptions {
  /** What the access is on, for example Databricks. */
  readonly platformName: string;
  /** The smallest lead: the reminder that begins then is the last one. */
  readonly lastLeadDays: number;
  readonly email: Omit<Settings['email'], 'endpoint'>;
}

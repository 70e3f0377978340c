/** Requests as a site might have them, for `npm start` and the tests. */

/** A row of dbo.DataAccessDeltaRequests (local/existingTables.sql). Dates are UTC. */
export interface DeltaRequest {
  readonly id: number;
  readonly request_number: string;
  readonly request_type: string;
  readonly request_status: string;
  readonly requested_by_ad_id: string;
  readonly requested_by_email: string | null;
  readonly requested_by: string;
  readonly catalog_name: string;
  readonly schema_name: string;
  readonly table_name: string;
  readonly justification: string;
  readonly access_start_dt: Date;
  readonly access_end_dt: Date | null;
  readonly created_dt: Date;
  /** The number of the request that this one renews. */
  readonly renews_request_number: string | null;
}

/** A row of dbo.DataAccessPalantirRequests. Dates are UTC, the id is a GUID in lower case. */
export interface PalantirRequest {
  readonly RequestId: string;
  readonly RequestNumber: string;
  readonly ProjectId: string;
  readonly ProjectRid: string;
  readonly ProjectName: string;
  readonly RequestType: string;
  readonly Status: string;
  readonly Justification: string;
  readonly RequestedBy: string;
  readonly RequestedByEmail: string | null;
  readonly AccessStartDate: Date;
  readonly AccessEndDate: Date | null;
  readonly CreatedAt: Date;
}

/** A row of dbo.RevokedAccess_Databricks, without its Id. */
export interface DeltaRevocation {
  readonly DeltaRequestId: number;
  readonly Revoked_Dt: Date;
  readonly Revoked_By: string;
}

/** A row of dbo.RevokedAccess_Palantir, without its Id. */
export interface PalantirRevocation {
  readonly PalantirRequestId: string;
  readonly Revoked_Dt: Date;
  readonly Revoked_By: string;
}

export interface Sample {
  readonly delta: readonly DeltaRequest[];
  readonly palantir: readonly PalantirRequest[];
  readonly deltaRevocations: readonly DeltaRevocation[];
  readonly palantirRevocations: readonly PalantirRevocation[];
}

/** What a request is an example of. */
interface Example {
  readonly status: string;
  readonly start: Date;
  readonly end: Date | null;
  readonly revokedAt?: Date;
  /** Instead of the requester's own address. */
  readonly email?: string | null;
  /** It is due and renewed by another request, or it is that request. */
  readonly renewal?: 'old' | 'new';
}

interface Person {
  readonly name: string;
  readonly email: string;
}

type Random = () => number;

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** How many requests of each kind a platform has. */
const counts = {
  active: 108,
  withoutEnd: 20,
  notApproved: 30,
  revoked: 30,
  expired: 39,
  due14: 24,
  due7: 24,
  due1: 20,
  renewed: 8,
  renewedAndDue: 2,
};

const unusableAddresses = [
  null,
  '',
  '   ',
  'ines.duarte(at)example.com',
  'a.meyer@example.com; b.meyer@example.com',
];

/**
 * A few hundred requests on each platform: active ones, some without an end, some not approved, some revoked already,
 * some expired, some due for each of the default reminders, some renewed after they were revoked, one of those expired
 * again, and some whose reminder is due but whose address cannot be used. Several people hold many grants. On Databricks
 * one whose reminder would be due was renewed by another request.
 * @param now what 'expired' and 'due' refer to; the same `now` and `seed` give the same requests
 */
export function sampleRequests(now: Date, seed = 1): Sample {
  const random = createRandom(seed);
  const delta: DeltaRequest[] = [];
  const deltaRevocations: DeltaRevocation[] = [];
  /** Where the renewed request and its renewal lie. */
  const renewed = { old: -1, new: -1 };
  for (const [index, { status, start, end, revokedAt, email, renewal }] of examples(now, random).entries()) {
    const person = renewal ? renewer : holder(random);
    const id = index + 1;
    const [catalog, schema, table] = renewal ? renewedTable : pick(random, tables);
    delta.push({
      id,
      request_number: `DBX-${String(10_000 + id)}`,
      request_type: pick(random, ['Read', 'Read', 'Read', 'Write']),
      request_status: status,
      requested_by_ad_id: person.email.slice(0, person.email.indexOf('@')),
      requested_by_email: email === undefined ? spelled(random, person.email) : email,
      requested_by: person.name,
      catalog_name: catalog,
      schema_name: schema,
      table_name: table,
      justification: pick(random, justifications),
      access_start_dt: start,
      access_end_dt: end,
      created_dt: new Date(start.getTime() - 2 * day),
      renews_request_number: null,
    });
    if (renewal) renewed[renewal] = id - 1;
    if (!revokedAt) continue;
    deltaRevocations.push({
      DeltaRequestId: id,
      Revoked_Dt: revokedAt,
      Revoked_By: 'RevokeExpiredDatabricksRequests',
    });
  }

  const [old, renewal] = [delta[renewed.old], delta[renewed.new]];
  if (old && renewal) delta[renewed.new] = { ...renewal, renews_request_number: old.request_number };

  const palantir: PalantirRequest[] = [];
  const palantirRevocations: PalantirRevocation[] = [];
  for (const [index, { status, start, end, revokedAt, email }] of examples(now, random, false).entries()) {
    const person = holder(random);
    const RequestId = guid(random);
    const project = Math.floor(random() * projects.length);
    palantir.push({
      RequestId,
      RequestNumber: `PAL-${String(20_000 + index + 1)}`,
      ProjectId: `PRJ-${String(100 + project)}`,
      ProjectRid: `ri.compass.main.folder.${guid(createRandom(project))}`,
      ProjectName: projects[project] ?? '',
      RequestType: pick(random, ['Viewer', 'Viewer', 'Editor', 'Owner']),
      Status: status,
      Justification: pick(random, justifications),
      RequestedBy: person.name,
      RequestedByEmail: email === undefined ? spelled(random, person.email) : email,
      AccessStartDate: start,
      AccessEndDate: end,
      CreatedAt: new Date(start.getTime() - 2 * day),
    });
    if (!revokedAt) continue;
    palantirRevocations.push({
      PalantirRequestId: RequestId,
      Revoked_Dt: revokedAt,
      Revoked_By: 'RevokeExpiredPalantirRequests',
    });
  }
  return { delta, palantir, deltaRevocations, palantirRevocations };
}

function examples(now: Date, random: Random, withRenewal = true): Example[] {
  const second = Math.floor(now.getTime() / 1000) * 1000;
  const midnight = Math.floor(now.getTime() / day) * day;
  /** A whole minute of the day that many midnights from now. */
  const inDays = (days: number): Date => new Date(midnight + days * day + between(random, 0, 1439) * minute);
  const ago = (fewestMinutes: number, mostMinutes: number): Date =>
    new Date(second - between(random, fewestMinutes, mostMinutes) * minute);
  const approved = (end: Date | null, revokedAt?: Date, email?: string | null): Example => ({
    status: 'Approved',
    start: new Date(Math.min(second, end?.getTime() ?? Infinity) - between(random, 90, 200) * day),
    end,
    ...(revokedAt && { revokedAt }),
    ...(email === undefined ? {} : { email }),
  });
  const expired = (): Date => ago(30, 30 * 24 * 60);
  /** Before any grant here that has expired and is due. */
  const revokedLongAgo = (): Date => ago(40 * 24 * 60, 60 * 24 * 60);
  const make = (count: number, example: (index: number) => Example): Example[] =>
    Array.from({ length: count }, (_, index) => example(index));

  return shuffle(random, [
    ...make(counts.active, () => approved(inDays(between(random, 20, 400)))),
    ...make(counts.withoutEnd, () => approved(null)),
    ...make(counts.notApproved, (index) => ({
      ...approved(index % 2 === 0 ? expired() : inDays(between(random, 1, 60))),
      status: pick(random, ['Submitted', 'Rejected', 'Withdrawn']),
    })),
    ...make(counts.revoked, () => {
      const end = ago(31 * 24 * 60, 200 * 24 * 60);
      return approved(end, new Date(end.getTime() + between(random, 1, 60) * minute));
    }),
    ...make(counts.expired, () => approved(expired())),
    ...make(counts.due14, () => approved(inDays(between(random, 8, 14)))),
    ...make(counts.due7, () => approved(inDays(between(random, 2, 7)))),
    ...make(counts.due1, () => approved(inDays(1))),
    ...unusableAddresses.map((email) => approved(inDays(between(random, 1, 14)), undefined, email)),
    ...make(counts.renewed, () => approved(inDays(between(random, 60, 200)), revokedLongAgo())),
    ...make(counts.renewedAndDue, () => approved(inDays(between(random, 2, 7)), revokedLongAgo())),
    approved(expired(), revokedLongAgo()),
    withRenewal ? { ...approved(inDays(5)), renewal: 'old' as const } : approved(inDays(200)),
    withRenewal ? { ...approved(inDays(95)), renewal: 'new' as const } : approved(inDays(300)),
  ]);
}

const people: readonly Person[] = [
  ['Siobhán O’Neil', "siobhan.o'neil"],
  ["Conor O'Brien", "conor.o'brien"],
  ['Łukasz Żółkiewski', 'lukasz.zolkiewski'],
  ['Zoë Müller-Lüdenscheidt', 'zoe.mueller-luedenscheidt'],
  ['José "Pepe" García', 'jose.garcia'],
  ['Nguyễn Thị Minh Khai', 'minh.khai.nguyen'],
  ['山田 太郎', 'taro.yamada'],
  ['Ольга Смирнова', 'olga.smirnova'],
  ['نور الهاشمي', 'noor.alhashimi'],
  ['<b>Max</b> Power', 'max.power'],
  ['Robert & Sons (service account)', 'svc.robert+reports'],
  ['Ana de Souza', 'ana.de.souza'],
  ['Anders Ångström', 'anders.angstrom'],
  ['Priya Raghunathan', 'priya.raghunathan'],
  ['Thabo Nkosi', 'thabo.nkosi'],
  ['Mary-Jane Watson', 'mary-jane.watson'],
  ['Jean-François Lefèvre', 'jean-francois.lefevre'],
  ['Elif Şahin', 'elif.sahin'],
  ['Chukwuemeka Okafor', 'chukwuemeka.okafor'],
  ['Björk Guðmundsdóttir', 'bjork.gudmundsdottir'],
  ['David Chen', 'david.chen'],
  ['Fatima Zahra Bennani', 'fatima.bennani'],
  ['Katarzyna Nowak', 'katarzyna.nowak'],
  ['Liam Walker', 'liam.walker'],
  ['Sofia Papadopoulou', 'sofia.papadopoulou'],
  ['Mateo Hernández', 'mateo.hernandez'],
  ['Hannah Schmidt', 'hannah.schmidt'],
  ['Arjun Mehta', 'arjun.mehta'],
  ['Emma Johansson', 'emma.johansson'],
  ['Oluwaseun Adeyemi', 'oluwaseun.adeyemi'],
  ['Giulia Rossi', 'giulia.rossi'],
  ['Tomáš Dvořák', 'tomas.dvorak'],
  ['Aroha Ngata', 'aroha.ngata'],
  ['Yusuf Demir', 'yusuf.demir'],
  ['Charlotte Dubois', 'charlotte.dubois'],
  ['Kim Min-jun', 'minjun.kim'],
  ['Isabella Costa', 'isabella.costa'],
  ['Peter van den Berg', 'peter.van.den.berg'],
  ['Maja Novak', 'maja.novak'],
  ['Samuel Osei', 'samuel.osei'],
].map(([name = '', account = '']) => ({ name, email: `${account}@example.com` }));

/** Who has renewed access by a new request. */
const renewer: Person = { name: 'Grace Hopper', email: 'grace.hopper@example.com' };
const renewedTable = ['finance', 'ledger', 'journal_entries'] as const;

const tables: readonly (readonly [catalog: string, schema: string, table: string])[] = [
  ['main', 'sales', 'orders'],
  ['main', 'sales', 'order_lines'],
  ['main', 'sales', 'returns_2026'],
  ['main', 'customers', 'profiles'],
  ['main', 'customers', 'consents'],
  ['finance', 'ledger', 'journal_entries'],
  ['finance', 'ledger', 'Q3 "restated"'],
  ['finance', 'payroll', 'salaries'],
  ['finance', 'forecast', "what's_next"],
  ['supply_chain', 'inventory', 'stock_levels'],
  ['supply_chain', 'logistics', 'shipments'],
  ['supply_chain', 'logistics', 'überseefracht'],
  ['research', 'trials', 'results_<b>raw</b>'],
  ['research', 'trials', 'participants'],
  ['ml', 'features', 'churn_v2'],
  ['ml', 'features', '客户_特征'],
  ['raw', 'iot', 'sensor_readings'],
  ['raw', 'web', 'clickstream'],
];

const projects: readonly string[] = [
  'Supply Chain "Control Tower"',
  'R&D <b>Beta</b> Programme',
  'Qualität & Prüfung',
  "Patient's Journey",
  '客户 360',
  'Demand Forecast',
  'Fleet Maintenance',
  'Anti-Money Laundering',
  'Procurement Spend',
  'Énergie et réseaux',
  'Clinical Trials Ontology',
  'Pricing Workshop',
  'Store Operations',
  'Workforce Planning',
];

const justifications: readonly string[] = [
  'Monthly reporting for the sales leadership team',
  'Investigation of incident INC-48213',
  "Quarter-end closing; needed until the auditors' sign-off",
  'Training of the churn model (ticket ML-77)',
  'Migration of the "old" warehouse',
  'Analyse des écarts de stock',
  'Onboarding to the platform team',
];

/** The first few people hold many grants each, the others a few. */
function holder(random: Random): Person {
  return random() < 0.35 ? pick(random, people.slice(0, 6)) : pick(random, people);
}

/** Addresses come from several systems: now and then one is not in lower case. */
function spelled(random: Random, email: string): string {
  return random() < 0.05 ? email.charAt(0).toUpperCase() + email.slice(1) : email;
}

/** mulberry32: small, and the same on every machine. */
function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from `least` to `most`, both included. */
function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[between(random, 0, items.length - 1)] as Item;
}

function shuffle<Item>(random: Random, items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}

function guid(random: Random): string {
  return 'xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx'.replace(/x/g, () => between(random, 0, 15).toString(16));
}

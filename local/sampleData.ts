/** Requests as a site might have them, for `npm start` and the tests. */

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
const day = 24 * 60 * minute;

const unusableAddresses = [
  null,
  '',
  '   ',
  'ines.duarte(at)example.com',
  'a.meyer@example.com; b.meyer@example.com',
];

/**
 * The rows of a few hundred requests on each platform: active ones, some without an end, some not approved, some revoked
 * already, some expired, some due for each of the default reminders, some renewed after they were revoked, one of those
 * expired again, and some whose reminder is due but whose address cannot be used. Several people hold many grants. On
 * Databricks one whose reminder would be due was renewed by another request. Dates are UTC.
 * @param now what 'expired' and 'due' refer to; the same `now` and `seed` give the same requests
 */
export function sampleRequests(now: Date, seed = 1) {
  const random = createRandom(seed);
  const onDatabricks = examples(now, random);
  const renewed = numberOf(onDatabricks.findIndex(({ renewal }) => renewal === 'old'));
  const delta = onDatabricks.map((example, index) => deltaRequest(random, example, index, renewed));
  const onPalantir = examples(now, random, false);
  const palantir = onPalantir.map((example, index) => palantirRequest(random, example, index));
  return {
    delta,
    palantir,
    deltaRevocations: onDatabricks.flatMap(({ revokedAt }, index) =>
      revokedAt
        ? [
            {
              DeltaRequestId: index + 1,
              Revoked_Dt: revokedAt,
              Revoked_By: 'RevokeExpiredDatabricksRequests',
            },
          ]
        : [],
    ),
    palantirRevocations: onPalantir.flatMap(({ revokedAt }, index) =>
      revokedAt
        ? [
            {
              PalantirRequestId: palantir[index]?.RequestId,
              Revoked_Dt: revokedAt,
              Revoked_By: 'RevokeExpiredPalantirRequests',
            },
          ]
        : [],
    ),
  };
}

const numberOf = (index: number): string => `DBX-${10_001 + index}`;

function deltaRequest(random: Random, example: Example, index: number, renewed: string) {
  const { status, start, end, email, renewal } = example;
  const person = renewal ? renewer : holder(random);
  const [catalog, schema, table] = renewal ? renewedTable : pick(random, tables);
  return {
    id: index + 1,
    request_number: numberOf(index),
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
    renews_request_number: renewal === 'new' ? renewed : null,
  };
}

function palantirRequest(random: Random, { status, start, end, email }: Example, index: number) {
  const person = holder(random);
  const RequestId = guid(random);
  const project = Math.floor(random() * projects.length);
  return {
    RequestId,
    RequestNumber: `PAL-${20_001 + index}`,
    ProjectId: `PRJ-${100 + project}`,
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
  };
}

function examples(now: Date, random: Random, withRenewal = true): Example[] {
  const second = Math.floor(now.getTime() / 1000) * 1000;
  const midnight = Math.floor(now.getTime() / day) * day;
  /** A whole minute of a day that lies so many midnights from now. */
  const inDays = (least: number, most?: number): Date => {
    const days = most === undefined ? least : between(random, least, most);
    return new Date(midnight + days * day + between(random, 0, 1439) * minute);
  };
  const ago = (fewestDays: number, mostDays: number): Date =>
    new Date(second - between(random, fewestDays * 24 * 60, mostDays * 24 * 60) * minute);
  const expired = (): Date => new Date(second - between(random, 30, 30 * 24 * 60) * minute);
  /** Before any grant here that has expired and is due. */
  const revokedLongAgo = (): Date => ago(40, 60);
  const approved = (end: Date | null, rest: Partial<Example> = {}): Example => ({
    status: 'Approved',
    start: new Date(Math.min(second, end?.getTime() ?? Infinity) - between(random, 90, 200) * day),
    end,
    ...rest,
  });
  const make = (count: number, example: (index: number) => Example): Example[] =>
    Array.from({ length: count }, (_, index) => example(index));

  return shuffle(random, [
    ...make(108, () => approved(inDays(20, 400))),
    ...make(20, () => approved(null)),
    ...make(30, (index) => ({
      ...approved(index % 2 === 0 ? expired() : inDays(1, 60)),
      status: pick(random, ['Submitted', 'Rejected', 'Withdrawn']),
    })),
    ...make(30, () => {
      const end = ago(31, 200);
      return approved(end, { revokedAt: new Date(end.getTime() + between(random, 1, 60) * minute) });
    }),
    ...make(39, () => approved(expired())),
    ...make(24, () => approved(inDays(8, 14))),
    ...make(24, () => approved(inDays(2, 7))),
    ...make(20, () => approved(inDays(1))),
    ...unusableAddresses.map((email) => approved(inDays(1, 14), { email })),
    ...make(8, () => approved(inDays(60, 200), { revokedAt: revokedLongAgo() })),
    ...make(2, () => approved(inDays(2, 7), { revokedAt: revokedLongAgo() })),
    approved(expired(), { revokedAt: revokedLongAgo() }),
    approved(inDays(withRenewal ? 5 : 200), withRenewal ? { renewal: 'old' } : {}),
    approved(inDays(withRenewal ? 95 : 300), withRenewal ? { renewal: 'new' } : {}),
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

/** Requests as a site might have them, for `npm start` and the tests. */
import { hash } from 'node:crypto';

/** A case that the sample shows. */
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
 * @param now what 'expired' and 'due' refer to; the same `now` gives the same requests
 */
export function sampleRequests(now: Date) {
  const onDatabricks = examples(now, true);
  const renewed = numberOf(onDatabricks.findIndex(({ renewal }) => renewal === 'old'));
  const delta = onDatabricks.map((example, index) => deltaRequest(example, index, renewed));
  const onPalantir = examples(now, false);
  const palantir = onPalantir.map(palantirRequest);
  return {
    delta,
    palantir,
    deltaRevocations: onDatabricks.flatMap(({ revokedAt }, index) =>
      revokedAt ? { DeltaRequestId: index + 1, ...revocation('Databricks', revokedAt) } : [],
    ),
    palantirRevocations: onPalantir.flatMap(({ revokedAt }, index) =>
      revokedAt
        ? { PalantirRequestId: palantir[index]?.RequestId, ...revocation('Palantir', revokedAt) }
        : [],
    ),
  };
}

const revocation = (platform: string, Revoked_Dt: Date) => ({
  Revoked_Dt,
  Revoked_By: `RevokeExpired${platform}Requests`,
});

const numberOf = (index: number): string => `DBX-${10_001 + index}`;

function deltaRequest({ status, start, end, email, renewal }: Example, index: number, renewed: string) {
  const person = renewal ? renewer : holder(index);
  const [catalog, schema, table] = renewal ? renewedTable : pick(tables, 2 * index);
  return {
    id: index + 1,
    request_number: numberOf(index),
    request_type: pick(['Read', 'Read', 'Read', 'Write'], 3 * index),
    request_status: status,
    requested_by_ad_id: person.email.slice(0, person.email.indexOf('@')),
    requested_by_email: email === undefined ? spelled(person.email, index) : email,
    requested_by: person.name,
    catalog_name: catalog,
    schema_name: schema,
    table_name: table,
    justification: pick(justifications, 5 * index),
    access_start_dt: start,
    access_end_dt: end,
    created_dt: new Date(start.getTime() - 2 * day),
    renews_request_number: renewal === 'new' ? renewed : null,
  };
}

function palantirRequest({ status, start, end, email }: Example, index: number) {
  const person = holder(index);
  const project = between(0, projects.length - 1, 2 * index);
  return {
    RequestId: guid(`request ${index}`),
    RequestNumber: `PAL-${20_001 + index}`,
    ProjectId: `PRJ-${100 + project}`,
    ProjectRid: `ri.compass.main.folder.${guid(`project ${project}`)}`,
    ProjectName: projects[project] ?? '',
    RequestType: pick(['Viewer', 'Viewer', 'Editor', 'Owner'], 3 * index),
    Status: status,
    Justification: pick(justifications, 5 * index),
    RequestedBy: person.name,
    RequestedByEmail: email === undefined ? spelled(person.email, index) : email,
    AccessStartDate: start,
    AccessEndDate: end,
    CreatedAt: new Date(start.getTime() - 2 * day),
  };
}

function examples(now: Date, withRenewal: boolean): Example[] {
  const second = Math.floor(now.getTime() / 1000) * 1000;
  const midnight = Math.floor(now.getTime() / day) * day;
  let seed = 0;
  const some = (least: number, most: number): number => between(least, most, ++seed);
  /** A whole minute of a day that begins that many midnights from now. */
  const inDays = (least: number, most = least): Date =>
    new Date(midnight + some(least, most) * day + some(0, 1439) * minute);
  const ago = (fewestMinutes: number, mostDays: number): Date =>
    new Date(second - some(fewestMinutes, mostDays * 24 * 60) * minute);
  const expired = (): Date => ago(30, 30);
  /** Before any grant here that has expired and is due. */
  const revokedLongAgo = (): Date => ago(40 * 24 * 60, 60);
  const approved = (end: Date | null, rest: Partial<Example> = {}): Example => ({
    status: 'Approved',
    start: new Date(Math.min(second, end?.getTime() ?? Infinity) - some(90, 200) * day),
    end,
    ...rest,
  });
  const make = (count: number, example: (index: number) => Example): Example[] =>
    Array.from({ length: count }, (_, index) => example(index));

  return shuffle([
    ...make(108, () => approved(inDays(20, 400))),
    ...make(20, () => approved(null)),
    ...make(30, (index) => ({
      ...approved(index % 2 === 0 ? expired() : inDays(1, 60)),
      status: pick(['Submitted', 'Rejected', 'Withdrawn'], index),
    })),
    ...make(30, () => {
      const end = ago(31 * 24 * 60, 200);
      return approved(end, { revokedAt: new Date(end.getTime() + some(1, 60) * minute) });
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
  ['Björk Guðmundsdóttir', 'bjork.gudmundsdottir'],
  ['David Chen', 'david.chen'],
  ['Fatima Zahra Bennani', 'fatima.bennani'],
  ['Liam Walker', 'liam.walker'],
  ['Sofia Papadopoulou', 'sofia.papadopoulou'],
  ['Mateo Hernández', 'mateo.hernandez'],
  ['Hannah Schmidt', 'hannah.schmidt'],
  ['Arjun Mehta', 'arjun.mehta'],
  ['Oluwaseun Adeyemi', 'oluwaseun.adeyemi'],
  ['Giulia Rossi', 'giulia.rossi'],
  ['Tomáš Dvořák', 'tomas.dvorak'],
  ['Aroha Ngata', 'aroha.ngata'],
  ['Yusuf Demir', 'yusuf.demir'],
  ['Emma Johansson', 'emma.johansson'],
  ['Peter van den Berg', 'peter.van.den.berg'],
].map(([name = '', account = '']) => ({ name, email: `${account}@example.com` }));

/** Who has renewed access by a new request. */
const renewer: Person = { name: 'Grace Hopper', email: 'grace.hopper@example.com' };
const renewedTable = ['finance', 'ledger', 'journal_entries'] as const;

const tables: readonly (readonly [catalog: string, schema: string, table: string])[] = [
  ['main', 'sales', 'orders'],
  ['main', 'sales', 'returns_2026'],
  ['main', 'customers', 'profiles'],
  ['finance', 'ledger', 'journal_entries'],
  ['finance', 'ledger', 'Q3 "restated"'],
  ['finance', 'forecast', "what's_next"],
  ['supply_chain', 'logistics', 'shipments'],
  ['supply_chain', 'logistics', 'überseefracht'],
  ['research', 'trials', 'results_<b>raw</b>'],
  ['ml', 'features', '客户_特征'],
];

const projects: readonly string[] = [
  'Supply Chain "Control Tower"',
  'R&D <b>Beta</b> Programme',
  'Qualität & Prüfung',
  "Patient's Journey",
  '客户 360',
  'Demand Forecast',
  'Énergie et réseaux',
  'Clinical Trials Ontology',
];

const justifications: readonly string[] = [
  'Monthly reporting for the sales leadership team',
  'Investigation of incident INC-48213',
  "Quarter-end closing; needed until the auditors' sign-off",
  'Migration of the "old" warehouse',
  'Analyse des écarts de stock',
];

/** The first few people hold many grants each, the others a few. */
const holder = (index: number): Person => pick(index % 3 === 0 ? people.slice(0, 6) : people, index);

/** Addresses come from several systems: now and then one is not in lower case. */
const spelled = (email: string, index: number): string =>
  index % 20 === 0 ? email.charAt(0).toUpperCase() + email.slice(1) : email;

/** The nth of numbers from 0 to 1 that look random and are the same at every start. */
const scattered = (n: number): number => parseInt(hash('md5', String(n)).slice(0, 8), 16) / 2 ** 32;

/** A whole number from `least` to `most`, both included. */
const between = (least: number, most: number, n: number): number =>
  least + Math.floor(scattered(n) * (most - least + 1));

const pick = <Item>(items: readonly Item[], n: number): Item =>
  items[between(0, items.length - 1, n)] as Item;

const shuffle = (items: readonly Example[]): Example[] =>
  items
    .map((item, index) => ({ item, order: scattered(index) }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);

const guid = (text: string): string =>
  hash('md5', text).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5');

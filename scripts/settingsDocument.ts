import { settingRows, type SettingGroup, type SettingRow } from '../src/config/settingTable';
import { markdownTable } from './markdown';

/** What the settings of a group are for, and what happens if one of them is missing or malformed. */
const sections: Readonly<Record<SettingGroup, readonly [title: string, ifWrong: string]>> = {
  database: ['Database and identity', 'If one is wrong, no job runs, and nothing is read.'],
  email: ['Email', 'If one is wrong, no reminder is sent. Revocations run.'],
  notification: ['Reminders', 'If one is wrong, no reminder is sent. Revocations run.'],
  revocation: ['Revocations', 'If it is wrong, nothing is revoked. Reminders are sent.'],
  schedule: [
    'Schedules',
    'NCRONTAB, in UTC: [what the host makes of it](operating.md#schedules). If one is wrong, the timer of its job never fires. The job can still be run by hand.',
  ],
  http: ['Sign-in', 'If it is wrong, a function key is required.'],
  page: ['Status page', 'If it is wrong, there are no links.'],
  telemetry: ['Telemetry', 'If one is wrong, it counts as not given.'],
};

const intro = `# Settings

<!-- Generated from src/config/settingTable.ts: npm run docs -->

App settings of the function app, which are environment variables. An empty value counts as not given.

A missing or malformed setting stops only what needs it. A job whose own settings are wrong fails each time with one
message that names every wrong setting, emits its \`JobRun\` event as Failed, and leaves no row in \`JobRun\`; the other
jobs run. The same message is logged once, as a warning, when an instance of the app starts work.

\`local.settings.json.example\` holds every setting. \`npm run doctor\` checks them and shows those in force, without
secrets. [Commands](operating.md#commands) read the same settings.`;

/** docs/settings.md */
export function settingsDocument(): string {
  const parts = Object.entries(sections).map(([group, [title, ifWrong]]) => {
    const rows = settingRows.filter(([, row]) => row.group === group);
    const cells = rows.map(([name, row]) => [
      `\`${name}\``,
      row.meaning,
      describeValue(row),
      describeDefault(row),
    ]);
    return `## ${title}\n\n${ifWrong}\n\n${markdownTable(['setting', 'meaning', 'value', 'default'], cells)}`;
  });
  return `${[intro, ...parts].join('\n\n')}\n`;
}

function describeValue({ expected = 'six fields, or five without the second', example }: SettingRow): string {
  return `${expected}, e.g. \`${example}\``;
}

function describeDefault({ required, default: fallback, otherwise }: SettingRow): string {
  if (required) return 'required';
  return fallback === undefined ? (otherwise ?? 'none') : `\`${fallback}\``;
}

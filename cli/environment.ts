import { existsSync, readFileSync } from 'node:fs';
import { parseArgs, type ParseArgsConfig, type ParseArgsOptionsConfig } from 'node:util';
import { distance } from 'fastest-levenshtein';
import { parse, printParseErrorCode, type ParseError } from 'jsonc-parser';
import { isLocalHost, type Environment } from '../src/config/settings';

const localSettings = 'local.settings.json';

/** With which a pipeline, or azd for its hooks, says who signs in to Azure. */
const azureSignIn = [
  'AZURE_TOKEN_CREDENTIALS',
  'AZURE_CLIENT_SECRET',
  'AZURE_CLIENT_CERTIFICATE_PATH',
  'AZURE_FEDERATED_TOKEN_FILE',
];

/**
 * The app settings of a command: the environment, and below it the Values of local.settings.json, which serve a database
 * on this machine and no other: none of them, a password least of all, reaches a server in Azure.
 * @param notLocal why the command is not for a database on this machine, if that is so
 * @throws Error if that file cannot be read
 */
export function readEnvironment(notLocal?: string): Environment {
  if (!existsSync(localSettings)) return process.env;
  const signIn = azureSignIn.find((name) => process.env[name]);
  const reason =
    notLocal ?? (signIn && `${signIn} is set, which is for Azure`) ?? notLocalServer(process.env.SQL_SERVER);
  if (reason !== undefined) return withoutFile(reason);
  const text = readFileSync(localSettings, 'utf8').replace(/^\uFEFF/, '');
  const settings = { ...parseLocalSettings(text), ...process.env };
  const fault = notLocalServer(settings.SQL_SERVER);
  return fault === undefined ? settings : withoutFile(fault);
}

const notLocalServer = (server = ''): string | undefined =>
  server.trim() === '' || isLocalHost(server.trim())
    ? undefined
    : `it serves a database on this machine, and SQL_SERVER is ${server}`;

function withoutFile(reason: string): Environment {
  console.error(`${localSettings} is not read: ${reason}. The settings come from the environment alone.`);
  return process.env;
}

/** Comments and trailing commas are allowed, as the Azure Functions Core Tools allow them. No value gets into an error. */
function parseLocalSettings(text: string): Record<string, string> {
  const errors: ParseError[] = [];
  const file = parse(text, errors, { allowTrailingComma: true }) as {
    Values?: Record<string, unknown>;
  } | null;
  const [error] = errors;
  if (error) {
    const before = text.slice(0, error.offset).split('\n');
    const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
    throw new Error(
      `${localSettings} is not valid JSON: ${printParseErrorCode(error.error)} at ${place}. Compare it with ${localSettings}.example.`,
    );
  }
  return Object.fromEntries(Object.entries(file?.Values ?? {}).map(([name, value]) => [name, String(value)]));
}

/**
 * The arguments of a command, among them the options that npm kept for itself.
 * @param usage added to every error
 * @throws Error for an unknown or malformed option
 */
export function parseArguments<T extends ParseArgsConfig & { options: ParseArgsOptionsConfig }>(
  config: T,
  usage: string,
) {
  try {
    return parseArgs({ ...config, args: [...process.argv.slice(2), ...optionsKeptByNpm(config.options)] });
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\n${usage}`, { cause });
  }
}

/**
 * `npm run job <Job_Type> --dry-run` lacks the `--` before the option: npm takes it for its own, and the script sees no
 * more of it than npm_config_dry_run ("npm-run-script", "config": environment variables).
 * @throws Error for what looks like one of the options with a slip in it, and for a dry run of a command that has none
 */
function optionsKeptByNpm(options: ParseArgsOptionsConfig): string[] {
  const kept: string[] = [];
  for (const [variable, value = ''] of Object.entries(process.env)) {
    const name = /^npm_config_(.+)/i.exec(variable)?.[1]?.toLowerCase();
    if (name === undefined || value === '' || value === 'false') continue;
    if (name === 'dry_run' && !('dry-run' in options)) throw new Error('This command has no dry run.');
    for (const [option, { type }] of Object.entries(options)) {
      const slips = distance(lettersOf(name), lettersOf(option));
      if (name === option.replaceAll('-', '_'))
        kept.push(type === 'boolean' && value === 'true' ? `--${option}` : `--${option}=${value}`);
      else if (slips <= (option.length < 10 ? 1 : 2))
        throw new Error(
          `npm has taken --${name} for itself: write -- before the options, and check the name. Did you mean --${option}?`,
        );
    }
  }
  return kept;
}

const lettersOf = (name: string): string => name.replace(/[-_]/g, '');

/** Whether a command is asked what it takes: --help or -h among its arguments. */
export function isAskedForHelp(): boolean {
  return process.argv.slice(2).some((argument) => argument === '--help' || argument === '-h');
}

/**
 * Runs a command, or prints its usage where it is asked for help. An error is printed without its stack, and the exit code
 * says how it ended. Where nobody reads its output any more (`npm run doctor | head -1`), it ends at once and quietly.
 */
export function runCommand(usage: string, command: () => Promise<boolean>): void {
  if (isAskedForHelp()) {
    console.log(usage);
    return;
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  command().then(
    (succeeded) => {
      process.exitCode = succeeded ? 0 : 1;
    },
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      process.exitCode = 1;
    },
  );
}

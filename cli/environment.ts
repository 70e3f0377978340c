import { existsSync, readFileSync } from 'node:fs';
import { parseArgs, type ParseArgsConfig, type ParseArgsOptionsConfig } from 'node:util';
import { parse, printParseErrorCode, type ParseError } from 'jsonc-parser';
import { isLocalHost, type Environment } from '../src/config/settings';

const localSettings = 'local.settings.json';

/** A pipeline, or azd for its hooks, names the identity that signs in to Azure with one of these. */
const azureSignIn = [
  'AZURE_TOKEN_CREDENTIALS',
  'AZURE_CLIENT_SECRET',
  'AZURE_CLIENT_CERTIFICATE_PATH',
  'AZURE_FEDERATED_TOKEN_FILE',
];

/**
 * The app settings of a command: the environment, then the Values of local.settings.json. Those serve only a database on
 * this machine: none of them, above all no password, reaches a server in Azure.
 * @param notLocal why the command is not for a database on this machine, if so
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
  console.error(`${localSettings} is not read: ${reason}. The settings come from the environment only.`);
  return process.env;
}

/** Allows comments and trailing commas, as the Azure Functions Core Tools do. Errors contain no value. */
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

type CommandConfig = ParseArgsConfig & { options: ParseArgsOptionsConfig };

/**
 * The arguments of a command, including options that npm kept for itself.
 * @param usage added to every error
 * @throws Error for an unknown or malformed option, and for an argument that the command does not take
 */
export function parseArguments<T extends CommandConfig>(config: T, usage: string) {
  try {
    const args = [...process.argv.slice(2), ...optionsKeptByNpm(config.options)];
    requireArguments(args, config);
    return parseArgs({ ...config, args });
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\n${usage}`, { cause });
  }
}

/** @throws Error where parseArgs would throw one, whose text does not name the options */
function requireArguments(args: string[], { options, allowPositionals = false }: CommandConfig): void {
  const { tokens } = parseArgs({ args, options, allowPositionals: true, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind === 'positional' && !allowPositionals)
      throw new Error(`Unexpected argument ${token.value}: this command takes only options.`);
    if (token.kind !== 'option') continue;
    const { name, rawName, value, inlineValue } = token;
    const option = options[name];
    if (!option) throw new Error(describeUnknown(rawName, options));
    if (option.type === 'boolean' && value !== undefined)
      throw new Error(`The option ${rawName} takes no value: write it without =${value}.`);
    if (option.type === 'string' && (value === undefined || (value.startsWith('-') && !inlineValue)))
      throw new Error(`The option ${rawName} needs a value: write ${rawName}=<value>.`);
  }
}

const listed = new Intl.ListFormat('en-GB');

function describeUnknown(rawName: string, options: ParseArgsOptionsConfig): string {
  const [first, ...others] = Object.keys(options).map((name) => `--${name}`);
  const unknown = `Unknown option ${rawName}:`;
  if (first === undefined) return `${unknown} this command takes none.`;
  if (others.length === 0) return `${unknown} only ${first} is known.`;
  return `${unknown} known are ${listed.format([first, ...others])}.`;
}

/** Names with a slip in one half of --dry-run, and those about --allow-mass-revocation; hyphens do not count. */
const nearDangerousOption = /^dry|^.{1,4}run$|revocation/;

/**
 * `npm run job <Job_Type> --dry-run` lacks the `--` before the option, so npm keeps it: the script sees it only as
 * npm_config_dry_run ("npm-run-script", "config": environment variables). Other names are npm's own or come from .npmrc.
 * @throws Error for a slip in the name of --dry-run, which would make the dry run a run
 */
function optionsKeptByNpm(options: ParseArgsOptionsConfig): string[] {
  return Object.entries(process.env).flatMap(([variable, value = '']) => {
    const name = /^npm_config_(.+)/i.exec(variable)?.[1]?.toLowerCase().replaceAll('_', '-');
    if (name === undefined || value === '' || value === 'false') return [];
    const option = options[name];
    if (option) return option.type === 'boolean' && value === 'true' ? `--${name}` : `--${name}=${value}`;
    if (nearDangerousOption.test(name.replaceAll('-', '')))
      throw new Error(describeUnknown(`--${name}`, options));
    return [];
  });
}

/** Whether --help or -h is among the arguments. */
export function isAskedForHelp(): boolean {
  return process.argv.slice(2).some((argument) => argument === '--help' || argument === '-h');
}

/**
 * Runs a command, or prints its usage if asked for help. An error is printed without its stack; the exit code is 1 after
 * an error or a false result. It ends quietly when its output is no longer read (`npm run doctor | head -1`).
 */
export function runCommand(usage: string, command: () => boolean | Promise<boolean>): void {
  if (isAskedForHelp()) {
    console.log(usage);
    return;
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  Promise.resolve()
    .then(command)
    .then(
      (succeeded) => {
        process.exitCode = succeeded ? 0 : 1;
      },
      (error: unknown) => {
        console.error(error instanceof Error ? error.message : error);
        process.exitCode = 1;
      },
    );
}

/** What a browser needs of a file, as text: scripts/build.ts compiles, bundles and minifies it. */
declare module '*?inline' {
  const text: string;
  export default text;
}

/** The version and commit of this build, by scripts/build.ts; undefined where the app runs unbuilt. */
declare const BUILD: { readonly version: string; readonly commit: string } | undefined;

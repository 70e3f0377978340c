/** A jest reporter: after all tests, the files that took longest. */
const { relative } = require('node:path');

const shown = 5;

module.exports = class SlowestFiles {
  onRunComplete(_contexts, { testResults }) {
    const slowest = testResults
      .map(({ testFilePath, perfStats }) => ({
        testFilePath,
        seconds: (perfStats.end - perfStats.start) / 1000,
      }))
      .sort((a, b) => b.seconds - a.seconds)
      .slice(0, shown);
    if (testResults.length <= shown) return;
    console.error('\nThe slowest files:');
    for (const { testFilePath, seconds } of slowest)
      console.error(`${seconds.toFixed(1).padStart(7)} s  ${relative(process.cwd(), testFilePath)}`);
  }
};

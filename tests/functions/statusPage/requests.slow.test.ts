/** What happened to a request, found and acted on in a browser. */
import type { Page } from 'playwright-core';
import { describeInChromium } from '../../support/browser';
import { cells, panel, press, serveStatusPage, notifyDatabricks, revokeDatabricks } from './support';

describeInChromium('A request on the status page', () => {
  const served = serveStatusPage();
  const { open, query } = served;
  async function search(page: Page, text: string): Promise<void> {
    await page.getByRole('searchbox', { name: 'Find a request' }).fill(text);
    await page.keyboard.press('Enter');
    await panel(page)
      .getByRole('heading', { name: `Requests: ${text}` })
      .waitFor();
  }
  /** A granted Databricks request whose first reminder is far away, with its number. */
  async function quietRequest(): Promise<{ Id: number; Number: string; Email: string }> {
    const [row] = await query(
      `SELECT TOP (1) g.RequestId AS Id, g.RequestNumber AS Number, g.RequesterEmail AS Email FROM dbo.AccessGrant_Databricks AS g
WHERE g.ExpiresAt > DATEADD(DAY, 30, GETUTCDATE()) AND g.RequesterName = 'Emma Johansson' ORDER BY g.RequestId;`,
    );
    return row as { Id: number; Number: string; Email: string };
  }

  test('is found by its holder, has an address that can be passed on, and shows what was sent and revoked, and why nothing was', async () => {
    const page = await open();
    await press(page, 'Run', notifyDatabricks);
    await press(page, 'Run', revokeDatabricks);
    await page.locator('#result-RevokeExpiredDatabricksRequests').getByText('Completed').waitFor();
    await page.locator(`#result-${notifyDatabricks}`).getByText('Completed').waitFor();
    await search(page, 'Grace Hopper');
    const rows = await cells(panel(page).locator('tbody tr'));
    expect(rows.map(([, holder]) => holder)).toEqual(['Grace Hopper', 'Grace Hopper']);
    const [covered] = await query(
      "SELECT TOP (1) g.RequestId AS Id, g.RequestNumber AS Number FROM dbo.AccessGrant_Databricks AS g WHERE g.RequesterName = 'Grace Hopper' ORDER BY g.ExpiresAt;",
    );
    const { Id, Number: number } = covered as { Id: number; Number: string };
    await panel(page).getByRole('link', { name: number, exact: true }).click();
    await panel(page)
      .getByRole('heading', { name: `Databricks request ${number}` })
      .waitFor();
    expect(new URL(page.url()).searchParams.get('request')).toBe(`databricks/${Id}`);
    expect(await panel(page).locator('.next').innerText()).toMatch(
      /^Nothing while request DBX-\d+ for the same access ends later: it covers this one until /,
    );
    expect(await panel(page).getByRole('button', { name: 'Send reminder' }).count()).toBe(0);
    await page.goBack();
    await panel(page)
      .getByRole('heading', { name: /^Requests: / })
      .waitFor();

    const [reminded] = await query(
      'SELECT TOP (1) n.DeltaRequestId AS Id, n.Notification_Sent_To AS SentTo FROM dbo.ExpiryNotification_Databricks AS n ORDER BY n.Id;',
    );
    await page.goto(`${served.url}/api/status?code=the-key&request=databricks/${reminded?.Id as number}`);
    expect(await panel(page).locator('.timeline').innerText()).toContain(
      `Message sent to ${reminded?.SentTo as string}`,
    );
    const [revoked] = await query(
      'SELECT TOP (1) r.DeltaRequestId AS Id FROM dbo.RevokedAccess_Databricks AS r ORDER BY r.Id DESC;',
    );
    await page.goto(`${served.url}/api/status?code=the-key&request=databricks/${revoked?.Id as number}`);
    expect(await panel(page).locator('.timeline').innerText()).toContain('Revocation recorded');
    await panel(page).getByRole('link', { name: 'a run of RevokeExpiredDatabricksRequests' }).click();
    await panel(page).getByText('Grants revoked').waitFor();
  });

  test('is reminded after a confirmation that names the address, and says so', async () => {
    const { Id, Number: number, Email } = await quietRequest();
    const page = await open(`&request=databricks/${Id}`);
    const other = await open(`&request=databricks/${Id}`);
    expect(await panel(page).locator('.next').innerText()).toMatch(/^No reminder is due yet/);
    expect(await panel(page).innerText()).toContain('Nothing was sent');
    await panel(page).getByRole('button', { name: 'Send reminder' }).click();
    const dialog = page.getByRole('dialog');
    expect(await dialog.innerText()).toContain(`Send the reminder of ${number}?`);
    expect(await dialog.innerText()).toContain(Email.toLowerCase());
    await dialog.getByRole('button', { name: 'Go back' }).click();
    expect(served.standIns.email.messages).toEqual([]);
    await panel(page).getByRole('button', { name: 'Send reminder' }).click();
    await dialog.getByRole('button', { name: 'Send', exact: true }).click();
    await panel(page).getByText(`Sent to ${Email.toLowerCase()}, and recorded.`).waitFor();
    await panel(page).locator('.timeline li').waitFor();
    expect(await panel(page).locator('.timeline').innerText()).toMatch(
      /Message sent to emma\.johansson@example\.com, by Operator/,
    );
    // Here no other can be sent now; on a page that was read before, it is refused.
    const button = panel(page).getByRole('button', { name: 'Send reminder' });
    expect(await button.getAttribute('aria-disabled')).toBe('true');
    expect(await panel(page).innerText()).toMatch(
      /A message about it went out at .* UTC\. Another can be sent by hand from .* UTC: refresh this page then\./,
    );
    await panel(other).getByRole('button', { name: 'Send reminder' }).click();
    await other.getByRole('dialog').getByRole('button', { name: 'Send', exact: true }).click();
    await panel(other)
      .getByText(/Nothing was sent: a message about it went out/)
      .waitFor();
    expect(served.standIns.email.messages).toHaveLength(1);
    expect(served.complaints).toEqual([]);
  });

  test('is found, and read, without JavaScript', async () => {
    const { Number: number } = await quietRequest();
    const page = await open('', { javaScriptEnabled: false });
    await page.getByRole('searchbox', { name: 'Find a request' }).fill(number);
    await page.getByRole('button', { name: 'Search' }).click();
    await panel(page).getByRole('link', { name: number, exact: true }).click();
    expect(await panel(page).locator('.next').innerText()).toMatch(/^No reminder is due yet/);
    expect(await panel(page).getByRole('button').count()).toBe(0);
  });

  test('whose search finds nothing, or more than fifty, says so', async () => {
    const page = await open();
    await search(page, 'Nobody At All');
    expect(await panel(page).innerText()).toContain('is this or begins with it');
    await search(page, 'DBX-1');
    expect(await panel(page).innerText()).toContain('There are more than these 50');
  });
});

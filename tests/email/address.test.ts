import { describeMalformed, isEmailAddress } from '../../src/email/address';

test.each([
  'ada@example.com',
  "o'neil+x@mail.example.co.uk",
  'ada@xn--e1aybc.xn--p1ai',
  'ada@example.xn--vermgensberatung-pwb',
])('%s is one address that can be sent to', (address) => {
  expect(isEmailAddress(address)).toBe(true);
});

test.each([
  ['ada.example.com', 'no @'],
  ['ada@b@example.com', 'more than one @'],
  ['ada@example', 'no top-level domain'],
  ['ada@example.xn--', 'another form than name@example.com'],
  ['ada@example.com;bob@example.com', 'more than one address'],
  ['Ada <ada@example.com>', 'a display name'],
  ['ada@example.com\r\nBcc: x@example.com', 'a blank or an invisible character in it'],
  ['ada\u200B@example.com', 'a blank or an invisible character in it'],
  ['??@example.com', '"?" where a character was lost'],
  ['ada@b\u00FCcher.example', 'a character outside ASCII (domains are written in their xn-- form)'],
  [`${'x'.repeat(320)}@example.com`, 'more than 320 characters'],
  ['ada@-example-.com', 'another form than name@example.com'],
])('%j is malformed, with %s', (address, fault) => {
  expect(isEmailAddress(address)).toBe(false);
  expect(describeMalformed(address)).toBe(fault);
});

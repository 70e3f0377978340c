import { defineProcessTests } from '../faults/processes';

jest.setTimeout(300_000);
defineProcessTests({ fired: 3, killed: 1 });

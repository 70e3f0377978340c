import { defineMatrixTests, onePerPosition } from '../faults/matrix';

jest.setTimeout(300_000);
defineMatrixTests(onePerPosition, 5);

import { defineMatrixTests } from './matrix';

defineMatrixTests((positions) => positions.flat(), 51);

// Preact and htm under one roof. Text that reaches a page through `html` is always a text node, never HTML.
import { h, render } from "preact";
import { useCallback, useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);
export { render, useCallback, useEffect, useId, useMemo, useRef, useState };

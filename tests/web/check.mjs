// Looks at the pages of a demo in a real browser: no violation that axe-core finds, nothing wider
// than a screen of 320 pixels, nothing loaded from elsewhere, nothing the policy blocks.
//
// Usage: node check.mjs PATH-OF-registry-node [DIRECTORY-FOR-SCREENSHOTS]
// With WEB_BASE=http://host:port it looks at what runs there and starts nothing.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const LIMIT_MS = 180_000;
const WIDTHS = [1280, 320];
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let failed = 0;
function check(what, holds, detail = "") {
  if (!holds) failed += 1;
  if (!holds) console.log(`FAIL ${what}${detail ? `\n     ${detail}` : ""}`);
  return holds;
}

function startDemo(binary, directory) {
  const demo = spawn(binary, ["demo", "--any-port", "--http", "--dir", directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ready = new Promise((resolve, reject) => {
    let base = null;
    const late = setTimeout(() => reject(new Error("the demo was not ready in time")), LIMIT_MS);
    demo.on("exit", (code) => reject(new Error(`the demo ended with ${code}`)));
    createInterface({ input: demo.stdout }).on("line", (line) => {
      base = line.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0] ?? base;
      if (line.startsWith("demo ready")) {
        clearTimeout(late);
        resolve(base);
      }
    });
  });
  return { demo, ready };
}

async function stopDemo(demo) {
  if (demo.exitCode !== null) return;
  const gone = new Promise((resolve) => demo.once("exit", resolve));
  demo.kill("SIGINT");
  await gone;
}

// One page of each kind, chosen from what the catalogue answers.
async function pages(base) {
  const get = async (path) => (await fetch(base + path)).json();
  const { services } = await get("/api/v1/services?page_size=500");
  const most = (by) => services.reduce((best, it) => (by(it) > by(best) ? it : best));
  const changed = most((it) => it.version_count);
  const large = most((it) => it.leistungsschluessel.length);
  const at = (it) => `/leistungen/${it.land}/${it.service_id}`;
  return [
    ["katalog", "/", 200],
    ["katalog-seite", "/?seite=3", 200],
    ["suche", "/?q=gewerbe", 200],
    ["filter", "/?land=SL&themenfeld=bildung", 200],
    ["filter-mehrere", "/?q=genehmigung&status=freigegeben&typisierung=2%2F3", 200],
    ["filter-lage", "/?lage=Wohnen%20%26%20Umzug", 200],
    ["keine-treffer", "/?q=gibtesnichtxyz&land=SL", 200],
    ["suche-unmoeglich", "/?q=---", 400],
    ["leistung", at(changed), 200],
    ["leistung-gross", at(large), 200],
    ["version", `${at(changed)}/versionen/${changed.latest_version}`, 200],
    ["version-erste", `${at(changed)}/versionen/1.0.0`, 200],
    ["unterschied", `${at(changed)}/diff?von=1.0.0&bis=${changed.latest_version}`, 200],
    ["nachnutzungen", "/nachnutzungen", 200],
    ["verbund", "/verbund", 200],
    ["fehlt", "/leistungen/SL/00000000-0000-7000-8000-000000000000", 404],
    ["unverstaendlich", "/leistungen/SL/keine-uuid", 400],
  ];
}

async function look(browser, base, [name, path, status], width, shots) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, locale: "de-DE" });
  const page = await context.newPage();
  const where = `${name} at ${width} px (${path})`;
  const told = [];
  page.on("console", (line) => line.type() === "error" && told.push(line.text()));
  page.on("pageerror", (error) => told.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`)) told.push(`request to ${request.url()}`);
  });
  const answer = await page.goto(base + path, { waitUntil: "networkidle" });
  check(`${where}: status ${status}`, answer.status() === status, `is ${answer.status()}`);
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(shots, `${name}-${width}.png`), fullPage: true });
  // everything that can be opened is checked open
  await page.evaluate(() => {
    for (const it of document.querySelectorAll("details")) it.open = true;
  });
  const expected = (text) => status >= 400 && text.includes(`status of ${status}`);
  const errors = told.filter((text) => !expected(text));
  check(`${where}: nothing blocked, broken or from elsewhere`, errors.length === 0, errors.join("\n     "));
  const wide = await page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    const inRegion = (it) => it.closest(".table-region, .board-region");
    const out = [...document.body.querySelectorAll("*")].filter(
      (it) => !inRegion(it) && it.getBoundingClientRect().right > room + 1 && it.getClientRects().length,
    );
    const names = out.slice(0, 3).map((it) => `${it.tagName}.${it.className}`);
    return { over: document.documentElement.scrollWidth - room, names };
  });
  check(`${where}: no horizontal scrolling`, wide.over <= 0, `${wide.over} px, ${wide.names}`);
  await page.evaluate(axe);
  const found = await page.evaluate(
    (tags) => globalThis.axe.run(document, { runOnly: { type: "tag", values: tags } }),
    TAGS,
  );
  for (const it of found.violations) {
    const nodes = it.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`);
    check(`${where}: ${it.id} (${it.help})`, false, nodes.join("\n     "));
  }
  const focus = await firstFocus(page);
  check(`${where}: the first tab stop is a visible way to the content`, focus, "not visible");
  console.log(`ok   ${where}: ${found.passes.length} rules pass`);
  await context.close();
}

async function firstFocus(page) {
  await page.keyboard.press("Tab");
  return page.evaluate(() => {
    const it = document.activeElement;
    const box = it.getBoundingClientRect();
    return it.classList.contains("skip") && box.top >= 0 && getComputedStyle(it).outlineStyle !== "none";
  });
}

async function main() {
  const [binary, wanted] = process.argv.slice(2);
  const shots = wanted ?? mkdtempSync(join(tmpdir(), "web-check-"));
  mkdirSync(shots, { recursive: true });
  const directory = mkdtempSync(join(tmpdir(), "web-demo-"));
  const started = process.env.WEB_BASE ? null : startDemo(binary, directory);
  let browser = null;
  try {
    const base = started ? await started.ready : process.env.WEB_BASE;
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    for (const page of await pages(base)) {
      for (const width of WIDTHS) await look(browser, base, page, width, shots);
    }
  } finally {
    await browser?.close();
    if (started) await stopDemo(started.demo);
    rmSync(directory, { recursive: true, force: true });
  }
  console.log(`screenshots in ${shots}`);
  console.log(failed ? `${failed} checks failed` : "all checks passed");
  process.exitCode = failed ? 1 : 0;
}

await main();

"use strict";
// The gallery of a report. Samples come from scripts beside the page, which works from a disk too; whatever they say is
// set as text, never as markup.
const gallery = JSON.parse(document.getElementById("gallery-data").textContent);
const FOLDER = "reports/gallery/", PAGE = 60, AT_ONCE = 4;
const [ROW, NAME, STATE, WHY, BUCKET, SIZE, PICTURE, CROPS, TEXTS, GROUP, UNUSUAL, ADDRESS, SOUND, OUTLINE] = Array(14).keys();
const find = (id) => document.getElementById(id);
const chunks = [];
let samples = [], texts = [], found = [], page = 0, loaded = 0, missing = 0, opened = -1;

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function tile(sample) {
  const box = make("div", "box");
  let [width, height] = [150, 150];
  const made = make("div", "tile");
  if (sample[PICTURE]) {
    const [sheet, left, top, w, h] = sample[PICTURE];
    [width, height] = [w, h];
    made.style.backgroundImage = `url("${FOLDER}${gallery.sheets[sheet]}")`;
    made.style.backgroundPosition = `-${left}px -${top}px`;
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", `picture of ${sample[NAME]}`);
  } else {
    made.classList.add("empty");
    if (sample[OUTLINE]) {
      const [w, h] = sample[OUTLINE];
      [width, height] = w > h ? [150, Math.max(150 * h / w, 24)] : [Math.max(150 * w / h, 24), 150];
    }
    made.append(make("span", "", Math.min(width, height) < 60 ? "" : "no picture"));
  }
  made.style.width = `${width}px`;
  made.style.height = `${height}px`;
  for (const [left, top, right, bottom] of sample[CROPS]) {
    if (left <= 0 && top <= 0 && right >= 1000 && bottom >= 1000) continue;
    const crop = make("div", sample[CROPS].length === 1 ? "crop only" : "crop");
    crop.style.cssText = `left:${left / 10}%;top:${top / 10}%;width:${(right - left) / 10}%;height:${(bottom - top) / 10}%`;
    made.append(crop);
  }
  box.append(made);
  return box;
}

function stateOf(sample) {
  const state = gallery.states[sample[STATE]];
  return [state, sample[WHY] ? `${state}: ${sample[WHY]}` : state];
}

function card(position) {
  const sample = samples[found[position]];
  const item = make("li"), button = make("button");
  const [state, why] = stateOf(sample);
  button.type = "button";
  button.append(tile(sample), make("span", "name", sample[NAME]));
  button.append(make("span", "", [sample[SIZE], gallery.buckets[sample[BUCKET]]].filter(Boolean).join(" → ")));
  const says = make("span", "text");
  says.append(make("span", `state ${state.split(" ")[0]}`, state), why.slice(state.length));
  button.append(says);
  if (sample[GROUP]) button.append(make("span", "soft", `looks alike: group ${sample[GROUP].toLocaleString("en")}`));
  button.append(make("span", "text", sample[TEXTS].join(" · ")));
  button.addEventListener("click", () => open(position));
  item.append(button);
  return item;
}

function fact(list, name, value) {
  if (!value) return;
  const pair = make("div");
  pair.append(make("dt", "", name), make("dd", "", value));
  list.append(pair);
}

function open(position) {
  if (position < 0 || position >= found.length) return;
  opened = position;
  const sample = samples[found[position]], dialog = find("sample"), both = make("div", "both");
  const facts = make("dl"), side = make("div");
  fact(facts, "state", stateOf(sample)[1]);
  fact(facts, "row", sample[ROW].toLocaleString("en"));
  fact(facts, "lies in", sample[ADDRESS]);
  fact(facts, "size", sample[SIZE]);
  fact(facts, "bucket", gallery.buckets[sample[BUCKET]]);
  fact(facts, "looks alike", sample[GROUP] ? `group ${sample[GROUP]}` : "");
  fact(facts, "unusual", gallery.unusual.filter((_, bit) => sample[UNUSUAL] >> bit & 1).map(([name]) => name).join(", "));
  side.append(facts);
  for (const text of sample[TEXTS]) side.append(make("p", "", text));
  if (sample[SOUND]) {
    const sound = make("audio");
    sound.controls = true;
    sound.preload = "metadata";
    sound.src = FOLDER + sample[SOUND];
    side.append(sound);
  }
  both.append(tile(sample), side);
  const pager = make("div", "pager");
  for (const [name, to] of [["← Previous", position - 1], ["Next →", position + 1], ["Close", null]]) {
    const button = make("button", "", name);
    button.type = "button";
    button.disabled = to !== null && (to < 0 || to >= found.length);
    button.addEventListener("click", () => to === null ? dialog.close() : open(to));
    pager.append(button);
  }
  const before = dialog.open ? document.activeElement.textContent : "";
  dialog.replaceChildren(make("h2", "", sample[NAME]), both, pager);
  dialog.setAttribute("aria-label", sample[NAME]);
  if (!dialog.open) dialog.showModal();
  const again = [...pager.children].find((one) => one.textContent === before && !one.disabled);
  if (before) (again || pager.lastChild).focus();  // what had the keyboard was taken away
}

function look() {
  const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const state = find("state").value, bucket = find("bucket").value, which = find("which").value;
  found = [];
  for (let at = 0; at < samples.length; at++) {
    const sample = samples[at];
    if (state !== "" && sample[STATE] !== Number(state)) continue;
    if (bucket !== "" && sample[BUCKET] !== Number(bucket)) continue;
    if (which === "alike" ? !sample[GROUP] : which !== "" && !(sample[UNUSUAL] >> Number(which) & 1)) continue;
    if (words.length && !words.every((word) => texts[at].includes(word))) continue;
    found.push(at);
  }
  if (which === "alike") found.sort((one, other) => samples[one][GROUP] - samples[other][GROUP] || one - other);
  page = 0;
  show();
}

function show() {
  const last = Math.max(Math.ceil(found.length / PAGE) - 1, 0);
  page = Math.min(Math.max(page, 0), last);
  const start = page * PAGE, stop = Math.min(start + PAGE, found.length);
  const cards = [];
  for (let at = start; at < stop; at++) cards.push(card(at));
  find("cards").replaceChildren(...cards);
  const number = (value) => value.toLocaleString("en");
  const all = found.length === 1 ? "1 sample" : `${number(found.length)} samples`;
  let says = !found.length ? "no sample is like that" : last ? `${number(start + 1)} to ${number(stop)} of ${all}` : all;
  if (loaded + missing < gallery.chunks.length) says += `; ${number(loaded)} of ${number(gallery.chunks.length)} files loaded`;
  if (missing) says = `${missing} of the gallery's files are missing: keep the folder reports/gallery beside this page`;
  find("found").textContent = says;
  for (const [id, to] of [["first", 0], ["previous", page - 1], ["next", page + 1], ["last", last]]) {
    find(id).disabled = to < 0 || to > last || to === page;
    find(id).hidden = !last;
  }
}

function turn(to) {
  page = to;
  show();
  find("gallery").scrollIntoView();
}

function gallery_samples(number, some) {
  chunks[number] = some;
}
window.gallery_samples = gallery_samples;

function gather() {
  samples = chunks.flat();
  texts = samples.map((one) => [one[NAME], one[ADDRESS], one[WHY], ...one[TEXTS]].join("\n").toLowerCase());
  const before = page;
  look();
  page = before;
  show();
}

function load(number) {
  if (number >= gallery.chunks.length) return;
  const script = document.createElement("script");
  const next = () => {
    const all = loaded + missing === gallery.chunks.length;
    if (number === 0 || all || loaded % 16 === 0) gather();
    load(number + AT_ONCE);
  };
  script.onload = () => { loaded++; next(); };
  script.onerror = () => { missing++; next(); };
  script.src = FOLDER + gallery.chunks[number];
  document.head.append(script);
}

function option(select, value, text) {
  const made = make("option", "", text);
  made.value = value;
  find(select).append(made);
}

for (const [at, name] of gallery.states.entries()) {
  if (gallery.counts[name]) option("state", at, `${name} (${gallery.counts[name].toLocaleString("en")})`);
}
gallery.buckets.forEach((name, at) => option("bucket", at, name));
if (gallery.num_groups) option("which", "alike", `that look alike (${gallery.num_groups.toLocaleString("en")} groups)`);
gallery.unusual.forEach(([name, count], bit) => {
  if (count) option("which", bit, `of unusual ${name} (${count.toLocaleString("en")})`);
});
let waiting = 0;
find("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(look, 150); });
for (const id of ["state", "bucket", "which"]) find(id).addEventListener("change", look);
find("first").addEventListener("click", () => turn(0));
find("previous").addEventListener("click", () => turn(page - 1));
find("next").addEventListener("click", () => turn(page + 1));
find("last").addEventListener("click", () => turn(Infinity));
find("sample").addEventListener("keydown", (event) => {
  if (event.target.tagName === "AUDIO") return;
  if (event.key === "ArrowLeft") open(opened - 1);
  if (event.key === "ArrowRight") open(opened + 1);
});
find("sample").addEventListener("close", () => {
  const shown = opened - page * PAGE;
  const buttons = find("cards").querySelectorAll("button");
  if (buttons[shown]) buttons[shown].focus();
});
find("sample").addEventListener("click", (event) => { if (event.target === find("sample")) find("sample").close(); });
find("tools").hidden = false;
for (let at = 0; at < AT_ONCE; at++) load(at);

"use strict";
// What only the report does: searching and filtering the board, and looking at one user.
(function () {
  const byId = id => document.getElementById(id);
  const { element } = page;

  // -- the board ------------------------------------------------------------------------------
  const rows = [...byId("board-table").tBodies[0].rows];
  function filter() {
    const words = byId("board-search").value.trim().toLowerCase();
    const family = byId("board-family").value, status = byId("board-status").value, best = byId("board-best").checked;
    for (const row of rows) {
      const { dataset } = row;
      row.hidden = !((!family || dataset.family === family) && (!status || dataset.status === status)
        && (!best || "best" in dataset) && row.textContent.toLowerCase().includes(words));
    }
    byId("board-count").textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} models`;
  }
  byId("board-controls").addEventListener("input", filter);
  byId("board-controls").addEventListener("submit", event => event.preventDefault());

  // -- one user: see user_pack.py for how they are packed -------------------------------------
  const pack = page.read("pack");
  const places = new Map(pack.users.map((user, place) => [user, place]));
  const SHOWN = 12; // models, until more are asked for
  const HISTORY = 50; // movies, until more are asked for
  let current = null, all = false;

  async function unpack(place) {
    const block = pack.blocks[Math.floor(place / pack.block)];
    const bytes = Uint8Array.from(atob(block), character => character.charCodeAt(0));
    const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const buffer = await new Response(inflated).arrayBuffer();
    const numbers = pack.wide ? new Uint32Array(buffer) : new Uint16Array(buffer);
    const places = pack.models.length * pack.k;
    let at = 0;
    for (let skip = place % pack.block; skip > 0; skip--) at += 4 + numbers[at + 1] + numbers[at + 2] + numbers[at + 3] + places;
    const [rows, history, heldOut, candidates] = numbers.subarray(at, at + 4);
    at += 4;
    const take = count => numbers.subarray(at, at += count);
    const user = { id: pack.users[place], rows, history: take(history), heldOut: take(heldOut) };
    const movies = take(candidates), tens = take(places);
    user.tens = pack.models.map((model, number) => ({
      model, movies: [...tens.subarray(number * pack.k, (number + 1) * pack.k)].filter(Boolean).map(code => movies[code - 1]),
    }));
    const wanted = new Set(user.heldOut);
    for (const ten of user.tens) ten.hits = ten.movies.filter(movie => wanted.has(movie)).length;
    return user;
  }
  const title = movie => pack.titles[movie - 1];

  function item(movie, hit) {
    const line = element("li");
    if (!hit) { line.textContent = title(movie); return line; }
    const mark = element("mark", title(movie));
    mark.append(element("span", " (hit)", { class: "hidden" }));
    line.append(element("span", "✓ ", { "aria-hidden": "true" }), mark);
    return line;
  }
  function showHistory(most) {
    const { history, rows } = current, rest = byId("user-history-rest");
    byId("user-history").replaceChildren(...[...history.subarray(0, most)].map(movie => item(movie, false)));
    rest.replaceChildren();
    if (history.length > most) {
      const more = element("button", `Show ${history.length} movies`, { type: "button" });
      more.addEventListener("click", () => { showHistory(history.length); byId("user-history").focus(); });
      rest.append(more);
    }
    if (rows > history.length) rest.append(element("span", ` The newest ${history.length} of ${rows} are in the page.`));
  }
  function showTens() {
    const words = byId("tens-search").value.trim().toLowerCase();
    let tens = current.tens.filter(ten => ten.model.toLowerCase().includes(words));
    if (byId("tens-order").value === "hits") tens = tens.sort((a, b) => b.hits - a.hits);
    const wanted = new Set(current.heldOut), shown = all ? tens : tens.slice(0, SHOWN);
    byId("user-tens").replaceChildren(...shown.map(ten => {
      const card = element("div", undefined, { class: "ten" }), list = element("ol");
      list.append(...ten.movies.map(movie => item(movie, wanted.has(movie))));
      const hits = ten.movies.length ? `${ten.hits} of ${wanted.size} found` : "recommends nothing to this user";
      card.append(element("h5", ten.model), element("p", hits), list);
      return card;
    }));
    const more = byId("tens-more");
    more.hidden = shown.length === tens.length;
    more.textContent = `Show all ${tens.length} models`;
  }
  function showUser(user) {
    current = user;
    all = false;
    byId("user-shown").hidden = false;
    byId("user-name").textContent = `User ${user.id}`;
    const best = Math.max(0, ...user.tens.map(ten => ten.hits));
    byId("user-summary").textContent = user.heldOut.length
      ? `${user.rows} movies of history, ${user.heldOut.length} held out. The best model for this user finds ${best}; `
        + `${user.tens.filter(ten => ten.hits).length} of ${user.tens.length} models find at least one.`
      : `${user.rows} movies of history, none held out, so that no model was asked.`;
    byId("user-held-out").replaceChildren(...[...user.heldOut].map(movie => {
      const line = item(movie, false), finders = user.tens.filter(ten => ten.movies.includes(movie)).length;
      line.append(` – found by ${finders} of ${user.tens.length} models`);
      return line;
    }));
    showHistory(HISTORY);
    showTens();
  }
  async function open(id, quietly) {
    const place = places.get(id), message = byId("user-message");
    if (place === undefined) {
      message.textContent = `User ${id} is not in this page, which has ${pack.users.length.toLocaleString("en")} of them.`
        + ` Make it again with --users ${id}, or choose another.`;
      return;
    }
    message.textContent = "";
    showUser(await unpack(place));
    byId("user-id").value = id;
    if (!quietly) {
      history.replaceState(null, "", `#user-${encodeURIComponent(id)}`);
      byId("user-name").focus();
    }
  }
  byId("user-form").addEventListener("submit", event => {
    event.preventDefault();
    open(byId("user-id").value.trim());
  });
  byId("user-other").addEventListener("click", () => open(pack.users[Math.floor(Math.random() * pack.users.length)]));
  byId("tens-form").addEventListener("input", showTens);
  byId("tens-form").addEventListener("submit", event => event.preventDefault());
  byId("tens-more").addEventListener("click", () => { all = true; showTens(); });
  byId("user-id").addEventListener("input", () => { // a few suggestions instead of thousands of elements
    const begun = byId("user-id").value.trim();
    const near = pack.users.filter(user => user.startsWith(begun)).slice(0, 20);
    byId("user-ids").replaceChildren(...near.map(user => element("option", undefined, { value: user })));
  });
  const linked = location.hash.startsWith("#user-") ? decodeURIComponent(location.hash.slice(6)) : null;
  if (linked !== null) open(linked);
  else if (pack.users.length) open(pack.users[0], true);
  else byId("user-message").textContent = "No user of this run has test rows.";
})();

// Sorting and searching the customers. The page is complete without it.
(function () {
  "use strict";
  var table = document.getElementById("customers");
  if (!table) { return; }
  var body = table.tBodies[0];
  var rows = Array.prototype.slice.call(body.rows);
  var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
  var box = document.getElementById("search");
  var counter = document.getElementById("found");

  function key(row, place) {
    var cell = row.cells[place];
    var number = cell.getAttribute("data-sort");
    return number === null ? cell.textContent.trim().toLowerCase() : parseFloat(number);
  }

  function sort(place, head, first) {
    var now = head.getAttribute("aria-sort");
    var up = now ? now === "descending" : first === "ascending";
    heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    rows.slice().sort(function (a, b) {
      var x = key(a, place), y = key(b, place);
      var order = typeof x === "number" ? x - y : x.localeCompare(y, document.documentElement.lang, {numeric: true});
      return up ? order : -order;
    }).forEach(function (row) { body.appendChild(row); });
  }

  heads.forEach(function (head, place) {
    var first = head.getAttribute("data-first");
    if (!first) { return; }
    var button = document.createElement("span");  // a real button is not printed again on the next page
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    while (head.firstChild) { button.appendChild(head.firstChild); }
    button.addEventListener("click", function () { sort(place, head, first); });
    button.addEventListener("keydown", function (event) {
      if (event.key !== "Enter" && event.key !== " ") { return; }
      event.preventDefault();
      sort(place, head, first);
    });
    head.appendChild(button);
  });

  box.parentNode.hidden = false;
  box.addEventListener("input", function () {
    var wanted = box.value.trim().toLowerCase();
    var shown = 0;
    rows.forEach(function (row) {
      row.hidden = wanted !== "" && row.textContent.toLowerCase().indexOf(wanted) < 0;
      shown += row.hidden ? 0 : 1;
    });
    counter.textContent = wanted === "" ? "" :
      counter.getAttribute("data-shown").replace("{shown}", shown).replace("{all}", rows.length);
  });
}());

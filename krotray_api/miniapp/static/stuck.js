// For when the app itself does not come: no module of it may be needed here. The first thing it does is to name the language.
setTimeout(function () {
  if (document.getElementById("language").hidden) document.getElementById("stuck").hidden = false;
}, 8000);
document.getElementById("reload").onclick = function () {
  location.reload();
};
